"""Pictures that are drawn, and what the head of a picture says."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.emulator.pictures import Picture, picture, read_head


def decoded(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and rows of a PNG with three bytes for a pixel, by the rules of the format."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    place, data, width, height = 8, b"", 0, 0
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        content = png[place + 8 : place + 8 + length]
        [check] = struct.unpack(">I", png[place + 8 + length : place + 12 + length])
        assert check == zlib.crc32(kind + content)
        if kind == b"IHDR":
            width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", content)
            assert (depth, colour) == (8, 2)
        data += content if kind == b"IDAT" else b""
        place += 12 + length
    assert kind == b"IEND"
    raw, size = zlib.decompress(data), width * 3 + 1
    assert len(raw) == size * height
    rows = [raw[start : start + size] for start in range(0, len(raw), size)]
    assert {row[0] for row in rows} == {0}
    return width, height, [row[1:] for row in rows]


@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (576, 1024), (768, 768), (17, 9), (1, 1)])
def test_a_picture_has_the_size_it_was_asked_for(width: int, height: int) -> None:
    png = picture("a cat", width, height)
    assert decoded(png)[:2] == (width, height)
    assert read_head(png) == Picture("png", width, height)


def test_a_picture_depends_on_the_prompt_and_the_seed_alone() -> None:
    assert picture("a cat", 64, 64, seed=3) == picture("a cat", 64, 64, seed=3)
    assert len({picture(prompt, 64, 64, seed=seed) for prompt in ("a cat", "a dog") for seed in (0, 1)}) == 4


@given(st.text(max_size=20), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_every_prompt_gives_a_picture(prompt: str, width: int, height: int, seed: int) -> None:
    assert decoded(picture(prompt, width, height, seed=seed))[:2] == (width, height)


JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    b"\xff\xc0\x00\x11\x08\x00\x20\x00\x40\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
)
BMP = b"BM" + b"\x00" * 12 + struct.pack("<Iii", 40, 64, -32) + b"\x00" * 28


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (JPEG, Picture("jpeg", 64, 32)),
        (BMP, Picture("bmp", 64, 32)),
        (b"", None),
        (b"GIF89a", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"\xff\xd8\xff", None),
        (b"\xff\xd8\xff\xe0\xff\xff", None),
        (b"BM", None),
    ],
)
def test_what_a_file_says_of_itself(data: bytes, found: Picture | None) -> None:
    assert read_head(data) == found


@given(st.binary(max_size=60))
def test_rubbish_is_no_picture_and_no_accident(data: bytes) -> None:
    for found in (read_head(data), read_head(b"\xff\xd8" + data)):
        assert found is None or isinstance(found, Picture)
