"""The map as inert HTML, for readers of a notebook that show no widgets: a small picture and the largest clusters."""

from __future__ import annotations

import base64
import struct
import zlib
from html import escape

import numpy as np

from saewidgets.records import FeatureSpace

WIDTH, HEIGHT = 560, 400
LARGEST = 12
INK = np.array([31, 95, 196])


def fallback_html(space: FeatureSpace) -> str:
    """A picture of where features are dense, and what lies there; nothing in it can run or load."""
    picture = base64.b64encode(png(density_picture(space.xy))).decode("ascii")
    listed = "".join(f"<li>{escape(name)} ({size:,})</li>" for name, size in largest_clusters(space))
    clusters = f'<p style="margin:8px 0 2px">Largest clusters</p><ol style="margin:0">{listed}</ol>' if listed else ""
    return (
        f'<div style="font:14px/1.5 system-ui,sans-serif"><p><b>Map of {len(space):,} features</b></p>'
        f'<img alt="Map of features" width="{WIDTH}" height="{HEIGHT}" src="data:image/png;base64,{picture}">'
        f'{clusters}<p style="opacity:.7;font-size:12px">{escape(str(space.provenance))}</p></div>'
    )


def density_picture(xy: np.ndarray) -> np.ndarray:
    """White to blue by how many features fall on a pixel, uint8 ``[HEIGHT, WIDTH, 3]``."""
    if not len(xy):
        return np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    low = xy.min(axis=0)
    scale = min((WIDTH - 20) / max(np.ptp(xy[:, 0]), 1e-9), (HEIGHT - 20) / max(np.ptp(xy[:, 1]), 1e-9))
    at = np.round(10 + (xy - low) * scale).astype(int)
    counts = np.zeros((HEIGHT + 1, WIDTH + 1))
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        np.add.at(counts, (np.clip(HEIGHT - 1 - at[:, 1] + dy, 0, HEIGHT), np.clip(at[:, 0] + dx, 0, WIDTH)), 1)
    shade = 1 - np.exp(-0.55 * counts[:HEIGHT, :WIDTH, None])
    return np.round(255 + (INK - 255) * shade).astype(np.uint8)


def largest_clusters(space: FeatureSpace) -> list[tuple[str, int]]:
    """Names and sizes of the largest clusters; ties go to the lower number."""
    sizes = np.bincount(space.cluster[space.cluster >= 0], minlength=len(space.cluster_names))
    order = np.argsort(-sizes, kind="stable")[:LARGEST]
    return [(space.cluster_names[i] or f"Cluster {i}", int(sizes[i])) for i in order if sizes[i]]


def png(pixels: np.ndarray) -> bytes:
    """``[height, width, 3]`` uint8 as a PNG file."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in parts)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
