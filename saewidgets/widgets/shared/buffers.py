"""Binary messages: named arrays and a JSON header in one byte string, sent in pieces (read by buffers.js).

Layout: ``uint32`` length of the header, the header (JSON, padded with spaces), then the arrays, each starting at a
multiple of 8 bytes. The header is ``{"meta": …, "arrays": [[name, dtype, length, offset], …]}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

CHUNK = 2_000_000
DTYPES = ("u1", "u2", "u4", "i1", "i4", "f4")


def pack(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """One byte string holding ``meta`` (anything JSON can say) and 1-D little-endian ``arrays``.

    Raises:
        ValueError: when an array is not 1-D or its type has no counterpart in the browser.
    """
    entries, bodies, offset = [], [], 0
    for name, array in arrays.items():
        dtype = array.dtype.str[1:]
        if array.ndim != 1 or dtype not in DTYPES:
            raise ValueError(f"array {name!r} must be 1-D of {', '.join(DTYPES)}, got {array.ndim}-D {array.dtype}")
        body = np.ascontiguousarray(array, dtype="<" + dtype).tobytes()
        entries.append([name, dtype, len(array), offset])
        bodies.append(body + b"\0" * (-len(body) % 8))
        offset += len(bodies[-1])
    # ASCII JSON carries lone surrogates, NUL and bidi controls through every transport unchanged.
    header = json.dumps({"meta": meta, "arrays": entries}, allow_nan=False, separators=(",", ":")).encode("ascii")
    header += b" " * (-(len(header) + 4) % 8)
    return len(header).to_bytes(4, "little") + header + b"".join(bodies)


def unpack(blob: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The ``meta`` and ``arrays`` that `pack` was given."""
    start = 4 + int.from_bytes(blob[:4], "little")
    header = json.loads(blob[4:start])
    arrays = {
        name: np.frombuffer(blob, dtype="<" + dtype, count=length, offset=start + offset)
        for name, dtype, length, offset in header["arrays"]
    }
    return header["meta"], arrays


def chunks(blob: bytes, size: int = CHUNK) -> list[bytes]:
    """``blob`` in pieces of at most ``size`` bytes; an empty one is one empty piece."""
    return [blob[i : i + size] for i in range(0, len(blob), size)] or [b""]


def messages(kind: str, view: str | None, serial: int, blob: bytes) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
    """``blob`` as messages of a piece each, for one view or for all, with what a view needs to join them."""
    parts = chunks(blob)
    for number, part in enumerate(parts):
        yield {"type": kind, "to": view, "acts": serial, "part": number, "parts": len(parts)}, [part]
