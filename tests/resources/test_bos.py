"""Object storage: places, uploads, reading, deleting."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.emulator import Emulator
from qianfan.errors import APIError, InvalidArgumentError, RequestError
from qianfan.resources import BosPath, Platform
from qianfan.resources.bos import CHUNK

AT = BosPath("my-bucket", "folder/file.jsonl")


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("bos:/bucket/a/b.jsonl", "bucket", "a/b.jsonl"),
        ("bos://bucket/a/b.jsonl", "bucket", "a/b.jsonl"),
        ("bos:/bucket/folder/", "bucket", "folder/"),
        ("bos:/bucket/", "bucket", ""),
        ("bos:/bucket", "bucket", ""),
        ("bos:/bucket//twice", "bucket", "twice"),
        ("bos:/bucket/数据 1.jsonl", "bucket", "数据 1.jsonl"),
        ("bos:/bucket/a:b", "bucket", "a:b"),
    ],
)
def test_places_are_read(text: str, bucket: str, key: str) -> None:
    assert BosPath.parse(text) == BosPath(bucket, key)


@pytest.mark.parametrize("text", ["", "bos", "bos:", "bos:/", "bos:///", "s3://bucket/key", "/bucket/key", "BOS:/b/k"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is no place in object storage; write it as bos:/bucket/path"):
        BosPath.parse(text)


@given(
    bucket=st.from_regex(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", fullmatch=True),
    key=st.text().filter(lambda key: not key.startswith("/")),
)
def test_places_can_be_written_and_read_again(bucket: str, key: str) -> None:
    assert BosPath.parse(str(BosPath(bucket, key))) == BosPath(bucket, key)


@pytest.mark.anyio
class TestObjects:
    async def test_a_file_travels_in_pieces(self, platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
        content = bytes(range(256)) * (10 * 1024)
        (tmp_path / "file").write_bytes(content)
        told: list[tuple[int, int]] = []
        await platform.bos.put_file(tmp_path / "file", AT, on_progress=lambda done, size: told.append((done, size)))
        assert emulator.read_object(AT.bucket, AT.key) == content
        assert told == [(CHUNK, len(content)), (2 * CHUNK, len(content)), (len(content), len(content))]

    @pytest.mark.parametrize("content", [b"", b"x"])
    async def test_small_files(self, platform: Platform, emulator: Emulator, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "file").write_bytes(content)
        await platform.bos.put_file(tmp_path / "file", AT)
        assert emulator.read_object(AT.bucket, AT.key) == content
        assert await platform.bos.size(AT) == len(content)

    async def test_an_upload_that_breaks_off_starts_again(
        self, platform: Platform, emulator: Emulator, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_bytes(b"abc")
        emulator.faults.add("PutObject", drop="after")
        emulator.faults.add("PutObject", nth=2, status=503)
        await platform.bos.put_file(tmp_path / "file", AT)
        assert emulator.count("PutObject") == 3
        assert emulator.read_object(AT.bucket, AT.key) == b"abc"

    async def test_a_missing_file(self, platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            await platform.bos.put_file(tmp_path / "none", AT)
        assert not emulator.requests

    async def test_putting_looking_reading_deleting(self, platform: Platform, emulator: Emulator) -> None:
        await platform.bos.put_bytes("内容".encode(), AT, region="bd")
        assert await platform.bos.size(AT) == 6
        assert await platform.bos.get_bytes(AT) == "内容".encode()
        await platform.bos.delete(AT)
        assert AT.key not in emulator.buckets[AT.bucket]

    async def test_what_is_not_there(self, platform: Platform) -> None:
        await platform.bos.put_bytes(b"x", BosPath(AT.bucket, "other"))
        for wanted in (platform.bos.size(AT), platform.bos.get_bytes(AT), platform.bos.delete(AT)):
            with pytest.raises(APIError) as caught:
                await wanted
            assert caught.value.http_status == 404
            assert caught.value.request_id

    async def test_a_size_that_nobody_tells(self, platform: Platform, emulator: Emulator) -> None:
        emulator.faults.add("HeadObject", status=200, body="", headers={"content-length": "many"})
        with pytest.raises(RequestError, match=r"no content-length for bos:/my-bucket/folder/file\.jsonl"):
            await platform.bos.size(AT)

    @pytest.mark.parametrize("place", [BosPath("B!", "key"), BosPath("bucket", ""), BosPath("bucket", "a/../b")])
    async def test_places_that_cannot_exist(self, platform: Platform, emulator: Emulator, place: BosPath) -> None:
        with pytest.raises(InvalidArgumentError):
            await platform.bos.put_bytes(b"x", place)
        assert not emulator.requests
