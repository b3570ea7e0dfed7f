"""Pictures without a model: real PNG files drawn from a description, and what kind of picture somebody sends."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass

_GRID = 8
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """What the head of a file says. width, height: pixels."""

    kind: str
    width: int
    height: int


def picture(prompt: str, width: int, height: int, *, seed: int = 0) -> bytes:
    """A PNG of coloured tiles, left and right alike, that depends on the prompt and the seed."""
    digest = hashlib.shake_256(f"{seed}\n{prompt}".encode("utf-8", "replace")).digest(_GRID * _GRID * 2)
    ground, ink = digest[:3], digest[3:6]
    bits = digest[6:]
    lines: list[bytes] = []
    for row in range(_GRID):
        half = [ink if bits[row * _GRID + place] & 1 else ground for place in range(_GRID // 2)]
        tiles = [*half, *reversed(half)]
        line = b"\x00" + b"".join(tile * _share(width, place) for place, tile in enumerate(tiles))
        lines.append(line * _share(height, row))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines), 1)), (b"IEND", b""))
    return _PNG + b"".join(_chunk(kind, data) for kind, data in chunks)


def _share(whole: int, place: int) -> int:
    """How many of the pixels the tile at a place gets."""
    return whole * (place + 1) // _GRID - whole * place // _GRID


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def read_head(data: bytes) -> Picture | None:
    """Kind and size of a PNG, JPEG or BMP; None for anything else."""
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= 24:
        return Picture("png", *struct.unpack(">II", data[16:24]))
    if data.startswith(b"BM") and len(data) >= 26:
        width, height = struct.unpack("<ii", data[18:26])
        return Picture("bmp", abs(width), abs(height))
    return _jpeg(data) if data.startswith(b"\xff\xd8") else None


def _jpeg(data: bytes) -> Picture | None:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        # C4, C8 and CC stand among the frame headers and are none.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return Picture("jpeg", width, height)
        place += 2 + length
    return None
