"""The object storage."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.emulator.signing import Console

pytestmark = pytest.mark.anyio

MEGABYTE = 2**20


async def get(console: Console, path: str, **headers: str) -> httpx.Response:
    return await console.http.get(path, headers=headers, auth=console.auth)


def refusal(response: httpx.Response) -> tuple[int, str]:
    content = response.json()
    assert content["requestId"] == response.headers["x-bce-request-id"]
    assert content["message"]
    return response.status_code, content["code"]


async def test_put_and_get(console: Console) -> None:
    content = b"some bytes"
    meta = {"x-bce-meta-owner": "me", "content-type": "text/plain", "x-bce-storage-class": "COLD"}
    put = await console.put("my-bucket", "a/b 一.txt", content, **meta)
    assert put.headers["etag"] == f'"{hashlib.md5(content).hexdigest()}"'
    got = await get(console, "/my-bucket/a/b%20%E4%B8%80.txt")
    assert (got.status_code, got.content) == (200, content)
    assert got.headers["x-bce-meta-owner"] == "me"
    assert got.headers["content-type"] == "text/plain"
    head = await console.http.head("/my-bucket/a/b%20%E4%B8%80.txt", auth=console.auth)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "10", b"")
    assert head.headers["last-modified"].endswith("GMT")
    assert console.emulator.read_object("my-bucket", "a/b 一.txt") == content


@pytest.mark.parametrize(
    ("asked", "status", "content", "place"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
    ],
)
async def test_ranges(console: Console, asked: str, status: int, content: bytes, place: str) -> None:
    await console.put("my-bucket", "digits", b"0123456789")
    got = await get(console, "/my-bucket/digits", range=asked)
    assert (got.status_code, got.content, got.headers["content-range"]) == (status, content, place)


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=5-2", "rows=1-2", "bytes=-"])
async def test_ranges_that_are_not_there(console: Console, asked: str) -> None:
    await console.put("my-bucket", "digits", b"0123456789")
    assert refusal(await get(console, "/my-bucket/digits", range=asked)) == (416, "InvalidRange")


async def test_conditions(console: Console) -> None:
    etag = (await console.put("my-bucket", "k", b"x")).headers["etag"]
    assert (await get(console, "/my-bucket/k", **{"if-none-match": etag})).status_code == 304
    assert refusal(await get(console, "/my-bucket/k", **{"if-match": '"other"'})) == (412, "PreconditionFailed")
    assert refusal(await console.put("my-bucket", "k", b"y", **{"if-none-match": "*"})) == (412, "PreconditionFailed")


async def test_digests_are_checked(console: Console) -> None:
    good = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    crc = str(zlib.crc32(b"x"))
    put = await console.put("my-bucket", "k", b"x", **{"content-md5": good, "x-bce-content-crc32": crc})
    assert put.headers["x-bce-content-crc32"] == crc
    assert refusal(await console.put("my-bucket", "bad", b"y", **{"content-md5": good})) == (400, "BadDigest")
    assert refusal(await console.put("my-bucket", "bad", b"y", **{"content-md5": "?"})) == (400, "BadDigest")
    assert refusal(await console.put("my-bucket", "bad", b"y", **{"x-bce-content-crc32": "1"})) == (400, "BadDigest")
    assert "bad" not in console.emulator.buckets["my-bucket"]


async def test_an_upload_must_state_its_length(console: Console) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    assert refusal(await console.put("my-bucket", "k", body())) == (411, "MissingContentLength")
    short = await console.put("my-bucket", "k", body(), **{"content-length": "2"})
    assert refusal(short) == (400, "InvalidHTTPRequest")


async def test_large_objects_live_on_disk(console: Console) -> None:
    """More than a megabyte goes to a file while it is uploaded, and comes back in pieces."""
    pieces = [bytes([n]) * MEGABYTE for n in range(3)]

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    await console.put("my-bucket", "big", body(), **{"content-length": str(3 * MEGABYTE)})
    sizes = []
    async with console.http.stream("GET", "/my-bucket/big", auth=console.auth) as response:
        async for piece in response.aiter_raw():
            sizes.append(len(piece))
    assert (sum(sizes), max(sizes) < MEGABYTE) == (3 * MEGABYTE, True)
    part = await get(console, "/my-bucket/big", range=f"bytes={MEGABYTE - 1}-{MEGABYTE}")
    assert part.content == b"\x00\x01"


async def test_delete(console: Console) -> None:
    await console.put("my-bucket", "k", b"x")
    assert (await console.http.delete("/my-bucket/k", auth=console.auth)).status_code == 204
    assert refusal(await console.http.delete("/my-bucket/k", auth=console.auth)) == (404, "NoSuchKey")
    assert refusal(await get(console, "/my-bucket/k")) == (404, "NoSuchKey")
    assert refusal(await get(console, "/other-bucket/k")) == (404, "NoSuchBucket")
    missing = await console.http.head("/my-bucket/k", auth=console.auth)
    assert (missing.status_code, missing.content) == (404, b"")


async def test_delete_many_and_copy(console: Console) -> None:
    await console.put("my-bucket", "a", b"x", **{"x-bce-meta-m": "1"})
    copied = await console.put("my-bucket", "b", b"", **{"x-bce-copy-source": "/my-bucket/a"})
    assert copied.json()["eTag"] == hashlib.md5(b"x").hexdigest()
    assert (await get(console, "/my-bucket/b")).headers["x-bce-meta-m"] == "1"
    body = {"objects": [{"key": "a"}, {"key": "none"}, {"key": "b"}]}
    gone = await console.http.post("/my-bucket?delete", json=body, auth=console.auth)
    assert [error["key"] for error in gone.json()["errors"]] == ["none"]
    assert not console.emulator.buckets["my-bucket"]


async def listed(console: Console, **query: Any) -> dict[str, Any]:
    response = await console.http.get("/my-bucket", params=query, auth=console.auth)
    content: dict[str, Any] = response.json()
    return content


async def test_listing(console: Console) -> None:
    for key in ("b", "a/2", "a/1", "a/sub/3", "Z"):
        await console.put("my-bucket", key, b"x")
    everything = await listed(console)
    assert [entry["key"] for entry in everything["contents"]] == ["Z", "a/1", "a/2", "a/sub/3", "b"]
    assert everything["isTruncated"] is False
    top = await listed(console, delimiter="/")
    assert [entry["key"] for entry in top["contents"]] == ["Z", "b"]
    assert top["commonPrefixes"] == [{"prefix": "a/"}]
    below = await listed(console, prefix="a/", delimiter="/")
    assert [entry["key"] for entry in below["contents"]] == ["a/1", "a/2"]
    assert below["commonPrefixes"] == [{"prefix": "a/sub/"}]
    assert (await listed(console, prefix="none"))["contents"] == []


@pytest.mark.parametrize("delimiter", ["", "/"])
async def test_paging_sees_everything_once(console: Console, delimiter: str) -> None:
    for key in ("a", "b/1", "b/2", "c", "d/1", "e"):
        await console.put("my-bucket", key, b"x")
    seen: list[str] = []
    marker = ""
    while True:
        page = await listed(console, maxKeys=2, marker=marker, delimiter=delimiter)
        names = [entry["key"] for entry in page["contents"]]
        names += [entry["prefix"] for entry in page.get("commonPrefixes", [])]
        assert len(names) <= 2
        seen += names
        if not page["isTruncated"]:
            break
        marker = page["nextMarker"]
    expected = ["a", "b/", "c", "d/", "e"] if delimiter else ["a", "b/1", "b/2", "c", "d/1", "e"]
    assert sorted(seen) == expected


async def test_buckets(console: Console) -> None:
    assert (await console.http.put("/new-bucket", auth=console.auth)).status_code == 200
    assert refusal(await console.http.put("/new-bucket", auth=console.auth)) == (409, "BucketAlreadyExists")
    assert (await console.http.head("/new-bucket", auth=console.auth)).status_code == 200
    location = await console.http.get("/new-bucket?location", auth=console.auth)
    assert location.json() == {"locationConstraint": "bj"}
    names = (await console.http.get("/", auth=console.auth)).json()["buckets"]
    assert [entry["name"] for entry in names] == ["new-bucket"]
    await console.put("new-bucket", "k", b"x")
    assert refusal(await console.http.delete("/new-bucket", auth=console.auth)) == (409, "BucketNotEmpty")
    await console.http.delete("/new-bucket/k", auth=console.auth)
    assert (await console.http.delete("/new-bucket", auth=console.auth)).status_code == 204
    assert (await console.http.head("/new-bucket", auth=console.auth)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("PUT", "/UP/k", 400, "InvalidBucketName"),
        ("PUT", "/my-bucket/a/%2E%2E/b", 400, "InvalidObjectName"),
        ("PUT", f"/my-bucket/{'k' * 1025}", 400, "InvalidObjectName"),
        ("PATCH", "/my-bucket/k", 405, "MethodNotAllowed"),
        ("GET", "/my-bucket?maxKeys=0", 400, "InvalidArgument"),
    ],
)
async def test_refusals(console: Console, method: str, path: str, status: int, code: str) -> None:
    await console.put("my-bucket", "k", b"x")
    response = await console.http.request(method, path, content=b"x", auth=console.auth)
    assert refusal(response) == (status, code)


async def test_signatures_are_checked(console: Console) -> None:
    assert refusal(await console.http.get("/my-bucket/k")) == (403, "AccessDenied")
    bad = await console.http.get("/my-bucket/k?authorization=nonsense")
    assert refusal(bad) == (400, "InvalidHTTPAuthHeader")


async def test_upload_in_parts(console: Console) -> None:
    path = "/my-bucket/big%20file"
    begun = await console.http.post(f"{path}?uploads", headers={"x-bce-meta-m": "1"}, auth=console.auth)
    upload = begun.json()["uploadId"]
    parts = [b"a" * 5 * MEGABYTE, b"b" * 5 * MEGABYTE, b"end"]
    etags = []
    for number, part in enumerate(parts, start=1):
        query = {"partNumber": number, "uploadId": upload}
        put = await console.http.put(path, params=query, content=part, auth=console.auth)
        etags.append(put.headers["etag"])
    listed_parts = (await console.http.get(path, params={"uploadId": upload}, auth=console.auth)).json()["parts"]
    assert [entry["size"] for entry in listed_parts] == [len(part) for part in parts]
    body = {"parts": [{"partNumber": n, "eTag": etag} for n, etag in enumerate(etags, start=1)]}
    done = await console.http.post(path, params={"uploadId": upload}, json=body, auth=console.auth)
    assert (done.status_code, done.json()["key"]) == (200, "big file")
    assert console.emulator.read_object("my-bucket", "big file") == b"".join(parts)
    assert (await get(console, path, range="bytes=0-0")).headers["x-bce-meta-m"] == "1"
    again = await console.http.post(path, params={"uploadId": upload}, json=body, auth=console.auth)
    assert refusal(again) == (404, "NoSuchUpload")


async def test_bad_completions(console: Console) -> None:
    path = "/my-bucket/k"
    upload = (await console.http.post(f"{path}?uploads=", auth=console.auth)).json()["uploadId"]

    async def put(number: Any) -> httpx.Response:
        query = {"partNumber": number, "uploadId": upload}
        return await console.http.put(path, params=query, content=b"small", auth=console.auth)

    async def complete(parts: Any) -> tuple[int, str]:
        query = {"uploadId": upload}
        return refusal(await console.http.post(path, params=query, json={"parts": parts}, auth=console.auth))

    etag = (await put(1)).headers["etag"]
    await put(2)
    assert refusal(await put(0)) == (400, "InvalidArgument")
    one, two = {"partNumber": 1, "eTag": etag}, {"partNumber": 2, "eTag": etag}
    assert await complete([two, one]) == (400, "InvalidPartOrder")
    assert await complete([one, {"partNumber": 3, "eTag": etag}]) == (400, "InvalidPart")
    assert await complete([{"partNumber": 1, "eTag": "wrong"}]) == (400, "InvalidPart")
    assert await complete([one, two]) == (400, "EntityTooSmall")
    assert await complete([]) == (400, "InappropriateJSON")
    gone = await console.http.delete(path, params={"uploadId": upload}, auth=console.auth)
    assert gone.status_code == 204
    assert refusal(await put(1)) == (404, "NoSuchUpload")
