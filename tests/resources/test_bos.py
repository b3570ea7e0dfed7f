"""Object storage: places, and files on their way."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.emulator import Emulator
from qianfan.errors import APIError, InvalidArgumentError, RequestError
from qianfan.resources import BosPath, Platform
from qianfan.resources.bos import CHUNK
from tests.support.clock import JumpClock
from tests.support.emulated import client_for
from tests.support.transport import Meddling, Passing

AT = BosPath("my-bucket", "folder/事 b.jsonl")


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("bos:/bucket/a/b.jsonl", "bucket", "a/b.jsonl"),
        ("bos://bucket/a/b.jsonl", "bucket", "a/b.jsonl"),
        ("bos:/bucket/folder/", "bucket", "folder/"),
        ("bos:/bucket//a", "bucket", "a"),
        ("bos:/bucket/a:b", "bucket", "a:b"),
        ("bos:/bucket/", "bucket", ""),
        ("bos:/bucket", "bucket", ""),
    ],
)
def test_places(text: str, bucket: str, key: str) -> None:
    assert BosPath.parse(text) == BosPath(bucket, key)


@pytest.mark.parametrize("text", ["", "bos", "bos:", "bos:/", "bos://", "s3:/bucket/key", "/bucket/key", "bucket/key"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="bos:/bucket/path") as caught:
        BosPath.parse(text)
    assert repr(text) in str(caught.value)


@given(
    bucket=st.from_regex(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", fullmatch=True),
    key=st.text(max_size=50).filter(lambda key: not key.startswith("/")),
)
def test_a_place_survives_being_written_down(bucket: str, key: str) -> None:
    place = BosPath(bucket, key)
    assert BosPath.parse(str(place)) == place
    assert BosPath.parse(str(place).replace("bos:/", "bos://", 1)) == place


@pytest.mark.anyio
async def test_an_object_from_beginning_to_end(platform: Platform, emulator: Emulator) -> None:
    await platform.bos.put_bytes(b"some bytes", AT)
    assert emulator.read_object(AT.bucket, AT.key) == b"some bytes"
    assert await platform.bos.size(AT) == 10
    assert await platform.bos.get_bytes(AT) == b"some bytes"
    await platform.bos.delete(AT)
    with pytest.raises(APIError) as caught:
        await platform.bos.size(AT)
    assert caught.value.http_status == 404
    with pytest.raises(APIError, match="does not exist") as caught:
        await platform.bos.get_bytes(AT)
    assert (caught.value.code, caught.value.http_status) == ("NoSuchKey", 404)
    assert caught.value.request_id


@pytest.mark.anyio
@pytest.mark.parametrize("size", [0, 1, CHUNK, 2 * CHUNK + 5])
async def test_a_file_travels_in_pieces(platform: Platform, emulator: Emulator, tmp_path: Path, size: int) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(bytes(n % 251 for n in range(size)))
    told: list[tuple[int, int]] = []
    await platform.bos.put_file(file, AT, on_progress=lambda done, of: told.append((done, of)))
    assert emulator.read_object(AT.bucket, AT.key) == file.read_bytes()
    assert [done for done, _ in told] == [min(end, size) for end in range(CHUNK, size + CHUNK, CHUNK)]
    assert all(of == size for _, of in told)


@pytest.mark.anyio
async def test_an_upload_that_breaks_off_begins_again(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"x" * (CHUNK + 1))
    emulator.faults.add("PutObject", drop="before")
    emulator.faults.add("PutObject", status=503, code="SlowDown", message="later")
    again = Platform(platform.client.with_settings(console_api_retry_count=3))
    await again.bos.put_file(file, AT)
    assert emulator.count("PutObject") == 3
    assert await again.bos.size(AT) == CHUNK + 1


@pytest.mark.anyio
async def test_a_file_that_is_not_there(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await platform.bos.put_file(tmp_path / "none", AT)
    assert not emulator.requests


@pytest.mark.anyio
async def test_an_answer_without_a_size(emulator: Emulator, clock: JumpClock) -> None:
    async def sizeless(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        return httpx.Response(200, request=request)

    transport = Meddling(emulator.transport(), "object", sizeless)
    with pytest.raises(RequestError, match="no content-length for bos:/my-bucket/object"):
        await Platform(client_for(clock, transport)).bos.size(BosPath("my-bucket", "object"))
