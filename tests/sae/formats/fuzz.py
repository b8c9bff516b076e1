"""Damages fixtures in every way we can think of and opens them, in one process with limits of memory and time.

``python fuzz.py COUNT SEED`` prints a JSON report. What may happen to a damaged file: an SAE of finite numbers, a
ValueError or a FileNotFoundError. Everything else is a failure: another exception, more memory than allowed, more than
``SECONDS`` for one file, a command run, a socket opened, a file outside the folder read.
"""

from __future__ import annotations

import collections
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

import saewidgets as sw

FIXTURES = Path(__file__).parent / "fixtures"
SECONDS = 5
ROOM = 192 << 20  # address space beyond what the imports took: the files are of a few kB
BOMB_MB = 128
SENTINEL = 1234.5678  # fills a file beside the damaged folder, which nothing may lead to
JUNK = (None, True, -1, 0, 1, 3.5, 1e400, 10**30, "", "topk", "../../etc/passwd", "x" * 5000, [], [1], {}, {"k": 1})
FORBIDDEN = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "os.remove"}
Mutation = Callable[[Path, random.Random], None]


def pick(folder: Path, rng: random.Random, *endings: str) -> Path | None:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in endings)
    return rng.choice(found) if found else None


def weights(folder: Path, rng: random.Random) -> Path:
    path = pick(folder, rng, ".safetensors", ".npz", ".pt")
    assert path is not None
    return path


# ---- bytes ---------------------------------------------------------------------------------------------------------


def truncated(folder: Path, rng: random.Random) -> None:
    path = weights(folder, rng)
    data = path.read_bytes()
    path.write_bytes(data[: rng.choice([0, 1, 7, 8, 9, rng.randrange(len(data)), len(data) - 1])])


def flipped_bits(folder: Path, rng: random.Random) -> None:
    path = weights(folder, rng)
    data = bytearray(path.read_bytes())
    # Half of them where the structure is: the first and last bytes, not the numbers.
    places = [range(len(data)), range(min(400, len(data))), range(max(0, len(data) - 400), len(data))]
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        data[rng.choice(rng.choice(places))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def overwritten(folder: Path, rng: random.Random) -> None:
    path = weights(folder, rng)
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    block = rng.choice([b"\x00", b"\xff", b"\x80", bytes(rng.randrange(256) for _ in range(8))])
    size = rng.choice([1, 4, 8, 32, 256])
    data[at : at + size] = (block * size)[: len(data[at : at + size])]
    path.write_bytes(data)


def moved_bytes(folder: Path, rng: random.Random) -> None:
    path = weights(folder, rng)
    data = path.read_bytes()
    a, b = sorted(rng.randrange(len(data)) for _ in range(2))
    path.write_bytes(
        rng.choice([data[:a] + data[b:], data[:b] + data[a:b] + data[b:], data[b:] + data[:a], data + data])
    )


def another_file(folder: Path, rng: random.Random) -> None:
    path = weights(folder, rng)
    other = rng.choice(sorted(p for p in FIXTURES.rglob("*") if p.suffix in (".safetensors", ".npz", ".pt", ".json")))
    path.write_bytes(other.read_bytes())


# ---- safetensors ---------------------------------------------------------------------------------------------------


def header_length(folder: Path, rng: random.Random) -> None:
    path = weights(folder, rng)
    length = rng.choice([0, 1, 99_999_999, 100_000_001, 2**31, 2**63 - 1, 2**64 - 1, rng.randrange(4000)])
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])


def header_entry(folder: Path, rng: random.Random) -> None:
    path = pick(folder, rng, ".safetensors")
    if path is None:
        return overwritten(folder, rng)
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    name = rng.choice([key for key in header if key != "__metadata__"])
    entry = header[name]
    change = rng.choice(["shape", "dtype", "data_offsets", "name", "drop", "deep", "twice"])
    if change == "shape":
        entry["shape"] = rng.choice([[], [0], [1], [2**40, 2**40], [-1], entry["shape"][::-1], [*entry["shape"], 1],
                                     [[1]], "8", [2**63], [0, 2**50]])  # fmt: skip
    elif change == "dtype":
        entry["dtype"] = rng.choice(["F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "", 7, None])
    elif change == "data_offsets":
        entry["data_offsets"] = rng.choice([[0, 0], [0, 2**62], [-8, 4], [4, 0], [2**63, 2**64], [0], "", [1, 5]])
    elif change == "name":
        header[rng.choice(["", "W_enc", "threshold", "../x", "k", "x" * 3000])] = header.pop(name)
    elif change == "drop":
        del header[name]
    elif change == "deep":
        header["__metadata__"] = {"a": rng.choice(["x" * 100_000, 1, [[]], {"b": {}}])}
    else:
        header[name + "_"] = entry
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    return None


# ---- tensors -------------------------------------------------------------------------------------------------------


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".npz":
        with np.load(path) as found:
            return {name: torch.from_numpy(found[name]) for name in found.files}
    if path.suffix == ".pt":
        return dict(torch.load(path, weights_only=True))
    from safetensors.torch import load_file

    return load_file(path)


def store(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    if path.suffix == ".npz":
        arrays: dict[str, Any] = {name: t.float().numpy() for name, t in tensors.items()}
        np.savez(path, **arrays)
    elif path.suffix == ".pt":
        torch.save(tensors, path)
    else:
        save_file({name: t.contiguous() for name, t in tensors.items()}, path)


def changed_tensor(folder: Path, rng: random.Random) -> None:
    """A well-formed file of impossible tensors."""
    path = weights(folder, rng)
    tensors = tensors_of(path)
    name = rng.choice(sorted(tensors))
    tensor = tensors[name]
    kind = rng.choice(["nan", "inf", "huge", "shape", "flat", "dtype", "empty", "scalar", "drop", "rename", "more"])
    floats = tensor.float()
    if kind in ("nan", "inf", "huge"):
        value = {"nan": float("nan"), "inf": float("inf"), "huge": 3e38}[kind]
        flat = floats.flatten().clone()
        flat[rng.randrange(len(flat))] = value
        tensors[name] = flat.reshape(floats.shape)
    elif kind == "shape":
        tensors[name] = floats[..., :-1] if floats.ndim else floats.reshape(1, 1)
    elif kind == "flat":
        tensors[name] = floats.flatten()
    elif kind == "dtype":
        tensors[name] = tensor.to(rng.choice([torch.int64, torch.bool, torch.float64, torch.float16, torch.uint8]))
    elif kind == "empty":
        tensors[name] = torch.zeros(rng.choice([(0,), (0, 8), (8, 0)]))
    elif kind == "scalar":
        tensors[name] = torch.tensor(rng.choice([0.0, -1.0, 1e30]))
    elif kind == "drop":
        del tensors[name]
    elif kind == "rename":
        tensors[rng.choice(["w_enc", "W_dec", "encoder.weight", "k", "scaling_factor", "W_skip"])] = tensors.pop(name)
    else:
        extra = rng.choice(["k", "W_skip", "scaling_factor", "threshold", "r_mag", "group_sizes"])
        tensors[extra] = torch.randn(rng.choice([(1,), (3,), (24,), (6, 8), (2, 2, 2)]))
    store(path, {key: value.clone() for key, value in tensors.items()})


# ---- configs -------------------------------------------------------------------------------------------------------


def config_entry(folder: Path, rng: random.Random) -> None:
    path = pick(folder, rng, ".json")
    if path is None:
        return changed_tensor(folder, rng)
    config = json.loads(path.read_text())
    places = [config, *(value for value in config.values() if isinstance(value, dict))]
    place = rng.choice(places)
    keys = [*sorted(place), "k", "architecture", "normalize_activations", "activation_fn", "metadata", "trainer"]
    key = rng.choice(keys)
    if rng.random() < 0.2:
        place.pop(key, None)
    else:
        place[key] = rng.choice(JUNK)
    path.write_text(json.dumps(config))
    return None


def config_bytes(folder: Path, rng: random.Random) -> None:
    path = pick(folder, rng, ".json")
    if path is None:
        return flipped_bits(folder, rng)
    data = path.read_bytes()
    damaged = [
        b"", b"{", b"[]", b"null", b"NaN", data[: rng.randrange(len(data))], b"\xff\xfe" + data, data + data,
        b"[" * 100_000, b'{"a":' * 50_000, b'{"k":' + b"9" * 6000 + b"}", data.replace(b":", b"", 1), b"{}",
    ]  # fmt: skip
    path.write_bytes(rng.choice(damaged))
    return None


def index_elsewhere(folder: Path, rng: random.Random) -> None:
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        path.unlink()
    secret = "/".join([".."] * rng.randrange(1, 8)) + "/secret.safetensors"
    whole = str(Path.cwd() / "secret.safetensors")
    shard = rng.choice([secret, f"a/../{secret}", whole, "secret.safetensors", "..", "", 5, None, ["x"]])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"W_enc": shard, "W_dec": shard}}))


# ---- archives ------------------------------------------------------------------------------------------------------


def archive(folder: Path, rng: random.Random) -> None:
    """Zips of npz and pt files with lying sizes, bombs, other names, other pickles."""
    path = pick(folder, rng, ".npz", ".pt")
    if path is None:
        return header_entry(folder, rng)
    entries = {}
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    name = rng.choice(sorted(entries))
    kind = rng.choice(["bomb", "rename", "bytes", "drop", "header", "size", "duplicate"])
    method = zipfile.ZIP_DEFLATED if kind == "bomb" else zipfile.ZIP_STORED
    if kind == "rename":
        entries[rng.choice(["../../evil", "/abs", "", "a" * 2000, "data.pkl"])] = entries.pop(name)
    elif kind == "bytes" and entries[name]:
        data = bytearray(entries[name])
        for _ in range(rng.choice([1, 2, 6])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        entries[name] = bytes(data)
    elif kind == "drop":
        del entries[name]
    elif kind == "header" and name.endswith(".npy"):
        shape = rng.choice(
            ["(2**40,)", "(1099511627776,)", "(-1, 4)", "()", "(8, 24, 1)", "__import__('os')", "(1e9,)"]
        )
        descr = rng.choice(["<f4", "|O", "<f8", "<i8", "|V8", "<U4", ">f4", "|S9999"])
        text = f"{{'descr': '{descr}', 'fortran_order': {rng.choice(['True', 'False', '0'])}, 'shape': {shape}, }}\n"
        entries[name] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + entries[name][-64:]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as new:
        for key, value in entries.items():
            with new.open(key or "x", "w") as file:
                file.write(value)
                for _ in range(BOMB_MB if kind == "bomb" and key == name else 0):
                    file.write(bytes(1 << 20))  # in pieces: what this process holds is what is measured
    data = bytearray(buffer.getvalue())
    if kind in ("size", "duplicate"):
        at = data.rfind(b"PK\x01\x02")
        if at >= 0:
            data[at + 20 : at + 28] = struct.pack("<II", *rng.choices([0, 1, 2**31, 2**32 - 1, len(data)], k=2))
    path.write_bytes(data)
    return None


def pickled_opcodes(folder: Path, rng: random.Random) -> None:
    """A pickle of its own making: calls, imports, long loops of memo."""
    path = pick(folder, rng, ".pt")
    if path is None:
        return changed_tensor(folder, rng)
    evil = rng.choice([
        b"cos\nsystem\n(S'touch pwned'\ntR.", b"cbuiltins\neval\n(S'1/0'\ntR.", b"ctorch\nload\n(S'x'\ntR.",
        b"\x80\x02]q\x00" + b"h\x00a" * 2000 + b".", b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01u.", b"\x80\x02.",
        b"(lp0\n" * 5000 + b".",
        b"\x80\x02X\xff\xff\xff\x7f.", b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        bytes(rng.randrange(256) for _ in range(40)),
        b"ctorch._utils\n_rebuild_tensor_v2\n(tR.", b"\x80\x02ccollections\nOrderedDict\n)R.", b"K\x01.",
    ])  # fmt: skip
    with zipfile.ZipFile(path, "w") as new:
        new.writestr("ae/data.pkl", evil)
        new.writestr("ae/version", "3\n")
        new.writestr("ae/byteorder", "little")
    return None


MUTATIONS: tuple[Mutation, ...] = (
    truncated, flipped_bits, overwritten, moved_bytes, another_file, header_length, header_entry, changed_tensor,
    config_entry, config_bytes, index_elsewhere, archive, pickled_opcodes,
)  # fmt: skip
PICKLED = (archive, pickled_opcodes)


# ---- the run -------------------------------------------------------------------------------------------------------


class TooSlow(BaseException):
    """One file took more than its time."""


def too_slow(*_: object) -> None:
    raise TooSlow


def cases() -> dict[str, list[Path]]:
    """Folders of an SAE by format."""
    found: dict[str, list[Path]] = collections.defaultdict(list)
    for path in sorted(FIXTURES.rglob("expected.safetensors")):
        found[path.relative_to(FIXTURES).parts[0]].append(path.parent)
    return found


def copied(case: Path, room: Path) -> Path:
    """The case without its answers, under the same folder names (some formats are told by them)."""
    parts = case.relative_to(FIXTURES).parts
    folder = room.joinpath(*parts)
    shutil.copytree(case, folder, ignore=shutil.ignore_patterns("expected.*", "model"))
    return folder


def tried(folder: Path, rng: random.Random) -> str:
    """How opening a damaged folder ends."""
    told: dict[str, Any] = rng.choice([{}, {}, {"k": 3}, {"apply_b_dec_to_input": False, "architecture": "standard"}])
    try:
        sae = sw.load_sae(folder, allow_pickle=True, **told)
        acts = sae.encode(torch.ones(2, sae.d_in))
        if not torch.isfinite(sae.W_dec).all() or bool((sae.W_dec == SENTINEL).any()):
            return "FAILED: gave numbers it should not have"
        assert acts.values.shape[0] == 2
        return "opened"
    except (ValueError, FileNotFoundError) as error:
        text = str(error)
        starved = "allocate" in text or "MemoryError" in text or "out of memory" in text.lower()
        return f"FAILED: asked for too much memory: {text[:200]}" if starved else type(error).__name__
    except TooSlow:
        return f"FAILED: more than {SECONDS} s"
    except BaseException as error:
        return f"FAILED: {type(error).__name__}: {str(error)[:200]}"


def run(count: int, seed: int) -> dict[str, object]:
    """Damage and open ``count`` folders, formats and kinds of damage in turn."""
    rng = random.Random(seed)
    by_format, forbidden = cases(), []
    names = sorted(by_format)
    sys.addaudithook(lambda event, args: forbidden.append(event) if watching and event in FORBIDDEN else None)
    watching: list[int] = []
    outcomes: collections.Counter[str] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    signal.signal(signal.SIGALRM, too_slow)
    with tempfile.TemporaryDirectory() as top:
        os.chdir(top)
        save_file({"W_enc": torch.full((8, 24), SENTINEL), "W_dec": torch.full((24, 8), SENTINEL)},
                  Path(top) / "secret.safetensors")  # fmt: skip
        sw.load_sae(by_format["dictionary_learning"][0], allow_pickle=True)  # every lazy import before the limit
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, taken + ROOM))
        started = time.perf_counter()
        for number in range(count):
            mutate = MUTATIONS[number % len(MUTATIONS)]
            name = names[number // len(MUTATIONS) % len(names)]
            if mutate in PICKLED and name not in ("dictionary_learning", "gemma_scope"):
                name = rng.choice(["dictionary_learning", "gemma_scope"])
            room = Path(top) / f"room{number}"
            folder = copied(rng.choice(by_format[name]), room)
            mutate(folder, rng)
            watching.append(1)
            signal.alarm(SECONDS)
            outcome = tried(folder, rng)
            signal.alarm(0)
            watching.clear()
            outcomes[outcome.split(":")[0]] += 1
            kinds[f"{name} {mutate.__name__}"] += 1
            if outcome.startswith("FAILED"):
                failures.append(f"#{number} {name} {mutate.__name__}: {outcome}")
            shutil.rmtree(room)
        pwned = (Path(top) / "pwned").exists()
        os.chdir("/")
    return {
        "files": count,
        "seconds": round(time.perf_counter() - started, 1),
        "outcomes": dict(outcomes),
        "formats": len(names),
        "kinds": len(MUTATIONS),
        "combinations": len(kinds),
        "grown_mb": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1),
        "forbidden": forbidden,
        "pwned": pwned,
        "failures": failures[:20],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]))))
