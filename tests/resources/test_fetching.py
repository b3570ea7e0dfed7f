"""Downloads from all kinds of servers: those that break off, and those that give parts of something else."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan._transport import Client, Download
from qianfan.config import Settings
from qianfan.errors import DataFileError, FileSizeOverflow, RequestError
from qianfan.resources.fetching import Fetched, Version, fetch, fetched
from tests.support.clock import JumpClock

pytestmark = pytest.mark.anyio

CONTENT = b"0123456789" * 100
OTHER = b"abcdefghij" * 100

Answer = Callable[[httpx.Request], httpx.Response]


class Breaking(httpx.AsyncByteStream):
    """A body of which only the beginning comes."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        raise httpx.ReadError("connection reset")


class Server:
    """A server that answers as its script says, in the end with the same over and over. asked: the ranges, if any."""

    def __init__(self, *script: Answer) -> None:
        self._script = list(script)
        self.asked: list[str | None] = []
        self.conditions: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.headers.get("range"))
        self.conditions.append(request.headers.get("if-match"))
        answer = self._script[0] if len(self._script) == 1 else self._script.pop(0)
        return answer(request)

    @property
    def client(self) -> Client:
        return Client(Settings(), clock=JumpClock(), transport=httpx.MockTransport(self))

    async def fetch(self, path: Path, **options: Any) -> Version:
        client = self.client
        return await fetch(partial(_open, client), path, client=client, **{"keeps_parts": True, **options})

    def fetched(self, part: Path, **options: Any) -> AbstractAsyncContextManager[Fetched]:
        client = self.client
        return fetched(partial(_open, client), part, client=client, **{"keeps_parts": True, **options})


def _open(client: Client, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Download]:
    return client.download("http://files.example.com/file", headers=headers)


def whole(content: bytes = CONTENT, *, until: int | None = None, **headers: str) -> Answer:
    """The whole file, whatever was asked for. until: where it breaks off."""

    def answer(request: httpx.Request) -> httpx.Response:
        sent = {"etag": etag_of(content), "content-length": str(len(content)), **headers}
        return httpx.Response(200, headers=sent, stream=_stream(content, until))

    return answer


def ranged(content: bytes = CONTENT, *, until: int | None = None, said: str | None = None, **headers: str) -> Answer:
    """What was asked for. until: the byte of the file at which it breaks off; said: another `Content-Range`."""

    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        size = len(content)
        sent = {
            "etag": etag_of(content),
            "content-length": str(size - start),
            "content-range": said or f"bytes {start}-{size - 1}/{size}",
            **headers,
        }
        return httpx.Response(
            206, headers=sent, stream=_stream(content[start:], None if until is None else until - start)
        )

    return answer


def refused(status: int) -> Answer:
    return lambda request: httpx.Response(status)


def _stream(content: bytes, until: int | None) -> httpx.AsyncByteStream:
    return httpx.ByteStream(content) if until is None else Breaking(content[:until])


def etag_of(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


async def broken_off(path: Path, at: int = 300, **headers: str) -> None:
    """Leave what an interrupted download leaves."""
    with pytest.raises(RequestError):
        await Server(whole(until=at, **headers), refused(403)).fetch(path)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- taken up again ------------------------------------------------------------------------------------------------


async def test_a_later_call_asks_for_the_rest(tmp_path: Path) -> None:
    await broken_off(tmp_path / "file")
    assert left_in(tmp_path) == ["file.part", "file.part.json"]
    server, told = Server(ranged()), list[tuple[int, int | None]]()
    version = await server.fetch(tmp_path / "file", on_progress=lambda *progress: told.append(progress))
    assert (server.asked, server.conditions) == (["bytes=300-"], [etag_of(CONTENT)])
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert version.size == len(CONTENT)
    assert (told[0], told[-1]) == ((300, 1000), (1000, 1000))
    assert left_in(tmp_path) == ["file"]


@settings(max_examples=25, deadline=None)
@given(breaks=st.lists(st.integers(1, len(CONTENT) - 1), unique=True, max_size=6).map(sorted))
def test_however_often_it_breaks_the_file_is_whole(tmp_path_factory: pytest.TempPathFactory, breaks: list[int]) -> None:
    """A connection that brought something begins the count of failures anew."""
    path = tmp_path_factory.mktemp("breaks") / "file"
    answers = [ranged if place else whole for place in range(len(breaks) + 1)]
    server = Server(*(answer(until=until) for answer, until in zip(answers, [*breaks, None], strict=True)))
    anyio.run(partial(server.fetch, path, keeps_parts=False))
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, *(f"bytes={place}-" for place in breaks)]


async def test_where_nothing_is_missing_the_last_byte_is_asked_for(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with Server(whole()).fetched(tmp_path / "part"):
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    server = Server(ranged())
    async with server.fetched(tmp_path / "part") as arrived:
        assert arrived.path.read_bytes() == CONTENT
    assert server.asked == ["bytes=999-"]
    assert not left_in(tmp_path)


@pytest.mark.parametrize(
    "first",
    [
        refused(412),
        refused(416),
        whole(OTHER),
        ranged(OTHER),
        ranged(OTHER, etag=etag_of(CONTENT), said="bytes 300-999/2000"),
        ranged(OTHER, said="bytes 300-999/*"),
        ranged(OTHER, etag=etag_of(CONTENT), said="bytes 301-999/1000"),
        ranged(OTHER, etag=""),
    ],
    ids=["412", "416", "all of it", "another ETag", "another size", "no size", "a gap", "no ETag"],
)
async def test_a_part_is_never_put_together_with_something_else(tmp_path: Path, first: Answer) -> None:
    await broken_off(tmp_path / "file")
    await Server(first, whole(OTHER)).fetch(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == OTHER


@pytest.mark.parametrize("etag", ["", 'W/"1"'], ids=["none", "weak"])
async def test_without_a_strong_etag_everything_is_asked_for(tmp_path: Path, etag: str) -> None:
    await broken_off(tmp_path / "file", etag=etag)
    assert not left_in(tmp_path), "nobody could go on with it"
    server = Server(whole(until=300, etag=etag), whole(etag=etag))
    await server.fetch(tmp_path / "file")
    assert server.asked == [None, None]
    assert (tmp_path / "file").read_bytes() == CONTENT


async def test_a_note_that_cannot_be_read_is_no_note(tmp_path: Path) -> None:
    await broken_off(tmp_path / "file")
    (tmp_path / "file.part.json").write_bytes(b"{")
    server = Server(whole(OTHER))
    await server.fetch(tmp_path / "file")
    assert server.asked == [None]
    assert (tmp_path / "file").read_bytes() == OTHER


async def test_downloads_of_one_file_at_once_do_not_mix(tmp_path: Path) -> None:
    """Each has the whole file for as long as it needs it."""
    async with Server(whole()).fetched(tmp_path / "part") as first:
        async with Server(whole()).fetched(tmp_path / "part") as second:
            assert first.path != second.path
            assert first.path.read_bytes() == second.path.read_bytes() == CONTENT
        assert first.path.read_bytes() == CONTENT
    assert not left_in(tmp_path)


# --- what is left and what is refused ------------------------------------------------------------------------------


async def test_what_arrives_damaged_is_not_kept(tmp_path: Path) -> None:
    for server in (
        Server(whole(etag=etag_of(OTHER))),
        Server(whole(**{"x-bce-content-crc32": str(zlib.crc32(OTHER))})),
    ):
        with pytest.raises(RequestError, match="not what the storage says it is"):
            await server.fetch(tmp_path / "file")
        assert not left_in(tmp_path)


async def test_a_checksum_decides_before_an_etag_that_looks_like_one(tmp_path: Path) -> None:
    headers = {"etag": etag_of(OTHER), "x-bce-content-crc32": str(zlib.crc32(CONTENT))}
    await Server(whole(**headers)).fetch(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


async def test_a_file_that_ends_early_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="after 400 of 1000 bytes"):
        await Server(whole(CONTENT[:400], etag="", **{"content-length": "1000"})).fetch(tmp_path / "file")
    assert not left_in(tmp_path)


async def test_a_file_that_is_too_large_is_left_at_once(tmp_path: Path) -> None:
    def check(size: int) -> None:
        if size > 999:
            raise FileSizeOverflow("too large")

    with pytest.raises(FileSizeOverflow):
        async with Server(whole()).fetched(tmp_path / "part", check=check):
            pytest.fail("it is too large")
    assert not left_in(tmp_path)


async def test_a_file_that_could_not_be_used_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Server(whole()).fetched(tmp_path / "part"):
            raise ZeroDivisionError
    assert not left_in(tmp_path)


async def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "below", tmp_path / "none" / "below"):
        with pytest.raises(DataFileError, match="cannot be written") as caught:
            await Server(whole()).fetch(path)
        assert caught.value.path.startswith(str(path))


@pytest.mark.skipif(os.name != "posix", reason="modes of files are Unix's")
async def test_what_is_not_whole_is_for_its_owner_alone(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with Server(whole()).fetched(tmp_path / "part"):
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert {name: (tmp_path / name).stat().st_mode & 0o777 for name in left_in(tmp_path)} == {
        "part": 0o600,
        "part.json": 0o600,
    }


async def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OTHER)
    await broken_off(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == OTHER
    await Server(ranged()).fetch(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
