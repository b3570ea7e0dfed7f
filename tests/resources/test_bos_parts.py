"""Object storage beyond single objects: listings, copies, buckets, uploads in parts, and the documented helper."""

from __future__ import annotations

import hashlib
from pathlib import Path

import anyio
import pytest

from qianfan.emulator import Emulator
from qianfan.errors import APIError, InvalidArgumentError
from qianfan.resources import BosPath, Platform
from qianfan.resources.bos import Part
from qianfan.utils.bos_uploader import BosHelper, generate_bos_file_parent_path, is_valid_bos_path, parse_bos_path

pytestmark = pytest.mark.anyio

MIB = 1 << 20
BUCKET = "my-bucket"
LARGE = BosPath(BUCKET, "large")


async def stored(platform: Platform, *keys: str) -> None:
    for key in keys:
        await platform.bos.put_bytes(key.encode(), BosPath(BUCKET, key))


async def test_a_listing_of_several_pages(platform: Platform) -> None:
    keys = [f"a/{number:02}" for number in range(7)]
    await stored(platform, *keys, "b/1")
    page = await platform.bos.list_page(BUCKET, "a/", max_keys=3)
    assert [entry.key for entry in page.contents] == keys[:3]
    assert (page.is_truncated, page.next_marker) == (True, keys[2])
    assert (page.contents[0].size, page.contents[0].etag) == (4, hashlib.md5(b"a/00").hexdigest())
    assert [entry.key async for entry in platform.bos.objects(BosPath(BUCKET, "a/"))] == keys


async def test_folders_of_a_listing(platform: Platform) -> None:
    await stored(platform, "x/1", "x/deep/2", "x/deep/3", "y")
    page = await platform.bos.list_page(BUCKET, "x/", delimiter="/")
    assert ([entry.key for entry in page.contents], page.folders) == (["x/1"], ["x/deep/"])


async def test_copying_and_deleting_many(platform: Platform, emulator: Emulator) -> None:
    await stored(platform, "数据 1", "b")
    await platform.bos.copy(BosPath(BUCKET, "数据 1"), BosPath(BUCKET, "c"))
    assert emulator.read_object(BUCKET, "c") == "数据 1".encode()
    assert await platform.bos.delete_many(BUCKET, ["数据 1", "c", "b"]) == {}
    assert [entry async for entry in platform.bos.objects(BosPath(BUCKET, ""))] == []
    with pytest.raises(APIError) as missing:
        await platform.bos.copy(BosPath(BUCKET, "none"), BosPath(BUCKET, "d"))
    assert missing.value.code == "NoSuchKey"


async def test_buckets(platform: Platform) -> None:
    bos = platform.bos
    assert not await bos.bucket_exists("new-bucket")
    await bos.create_bucket("new-bucket")
    assert await bos.bucket_exists("new-bucket")
    assert "new-bucket" in [bucket.name for bucket in await bos.buckets()]
    assert await bos.region_of("new-bucket") == "bj"
    with pytest.raises(APIError) as exists:
        await bos.create_bucket("new-bucket")
    assert exists.value.code == "BucketAlreadyExists"
    await bos.put_bytes(b"x", BosPath("new-bucket", "x"))
    with pytest.raises(APIError) as not_empty:
        await bos.delete_bucket("new-bucket")
    assert not_empty.value.code == "BucketNotEmpty"
    await bos.delete(BosPath("new-bucket", "x"))
    await bos.delete_bucket("new-bucket")
    assert not await bos.bucket_exists("new-bucket")


async def test_a_file_in_parts(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    content = bytes(range(251)) * (12 * MIB // 251)
    (tmp_path / "file").write_bytes(content)
    told: list[tuple[int, int]] = []
    await platform.bos.put_file_in_parts(
        tmp_path / "file", LARGE, part_size=5 * MIB, on_progress=lambda done, size: told.append((done, size))
    )
    assert emulator.read_object(BUCKET, "large") == content
    assert emulator.count("UploadPart") == 3
    assert told[-1] == (len(content), len(content))


async def test_an_empty_file_in_parts(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    await platform.bos.put_file_in_parts(tmp_path / "file", LARGE)
    assert emulator.read_object(BUCKET, "large") == b""


async def test_a_part_that_fails_is_sent_again_by_itself(
    platform: Platform, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x" * (11 * MIB))
    emulator.faults.add("UploadPart", status=503, code="ServiceUnavailable", times=1)
    await platform.bos.put_file_in_parts(tmp_path / "file", LARGE, part_size=5 * MIB, at_once=1)
    assert emulator.count("UploadPart") == 4
    assert len(emulator.read_object(BUCKET, "large")) == 11 * MIB


async def test_an_upload_that_fails_is_aborted(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (11 * MIB))
    emulator.faults.add("UploadPart", status=403, code="AccessDenied")
    with pytest.raises(APIError) as refused:
        await platform.bos.put_file_in_parts(tmp_path / "file", LARGE, part_size=5 * MIB)
    assert refused.value.code == "AccessDenied"
    assert emulator.count("AbortMultipartUpload") == 1
    assert not await platform.bos.exists(LARGE)


async def test_a_cancelled_upload_is_aborted(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (11 * MIB))
    with anyio.CancelScope() as scope:
        await platform.bos.put_file_in_parts(
            tmp_path / "file", LARGE, part_size=5 * MIB, at_once=1, on_progress=lambda done, size: scope.cancel()
        )
    assert scope.cancelled_caught
    assert (emulator.count("AbortMultipartUpload"), emulator.count("CompleteMultipartUpload")) == (1, 0)


async def test_going_on_with_the_parts_that_arrived(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    bos, file = platform.bos, tmp_path / "file"
    file.write_bytes(b"a" * (5 * MIB) + b"b")
    upload = await bos.begin_upload(LARGE)
    first = await bos.put_part(LARGE, upload, 1, file, 0, 5 * MIB)
    assert first == Part(number=1, etag=hashlib.md5(b"a" * (5 * MIB)).hexdigest(), size=5 * MIB)
    [found] = await bos.parts(LARGE, upload)
    assert (found.number, found.etag, found.size) == (1, first.etag, 5 * MIB)
    last = await bos.put_part(LARGE, upload, 2, file, 5 * MIB, 1)
    await bos.complete_upload(LARGE, upload, [last, found])
    assert emulator.read_object(BUCKET, "large") == file.read_bytes()
    with pytest.raises(APIError) as gone:
        await bos.parts(LARGE, upload)
    assert gone.value.code == "NoSuchUpload"


async def test_parts_that_are_too_small_are_not_begun(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="part_size"):
        await platform.bos.put_file_in_parts(tmp_path / "file", LARGE, part_size=MIB)
    assert emulator.requests == []


async def test_a_download_appears_when_it_is_whole(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    await stored(platform, "k")
    assert await platform.bos.get_file(BosPath(BUCKET, "k"), tmp_path / "k") == 1
    assert (tmp_path / "k").read_bytes() == b"k"
    with pytest.raises(APIError):
        await platform.bos.get_file(BosPath(BUCKET, "none"), tmp_path / "none")
    assert [file.name async for file in anyio.Path(tmp_path).iterdir() if await file.is_file()] == ["k"]


async def test_the_documented_helper(platform: Platform, tmp_path: Path) -> None:
    helper = BosHelper(client=platform.client)
    await helper.aupload_content_to_bos("文本", "/folder/text", BUCKET)
    (tmp_path / "file").write_bytes(b"12345")
    await helper.aupload_file_to_bos(str(tmp_path / "file"), "/folder/deep/file", BUCKET)
    assert await helper.aget_file_size(BUCKET, "/folder/deep/file") == 5
    assert [entry.key for entry in await helper.alist_dir(BUCKET, "/folder/")] == ["folder/text"]
    every = await helper.alist_dir(BUCKET, "/folder/", only_deep1=False)
    assert [entry.key for entry in every] == ["folder/deep/file", "folder/text"]
    assert (await helper.ais_dir(BUCKET, "/folder"), await helper.ais_dir(BUCKET, "/folder/text")) == (True, False)
    await helper.acopy_object(BUCKET, "/folder/text", "/copy")
    assert (await helper.aget_metadata(BUCKET, "/copy"))["content_length"] == "6"
    await helper.adelete_bos_file_anyway(BUCKET, "/copy")
    await helper.adelete_bos_file_anyway(BUCKET, "/copy")
    assert not await helper.acheck_if_file_existed_on_bos(BUCKET, "/copy")
    await helper.aget_object_as_file(BUCKET, "/folder/text", str(tmp_path / "text"))
    assert (tmp_path / "text").read_text(encoding="utf-8") == "文本"
    assert await helper.aget_bos_bucket_location(BUCKET) == "bj"
    link = await helper.aget_bos_file_shared_url("/folder/text", BUCKET)
    async with platform.client.download(link) as chunks:
        assert b"".join([chunk async for chunk in chunks]).decode() == "文本"


def test_the_blocking_helper(emulator: Emulator) -> None:
    from qianfan._transport import Client
    from qianfan.config import Settings

    settings = {name.lower(): value for name, value in emulator.settings.items()}
    helper = BosHelper(client=Client(Settings(**settings), transport=emulator.transport()))
    helper.upload_content_to_bos("x", "/x", BUCKET)
    assert helper.check_if_file_existed_on_bos(BUCKET, "/x") is True
    with pytest.raises(InvalidArgumentError, match="pair"):
        BosHelper(ak="only-one")


def test_places_as_texts() -> None:
    assert parse_bos_path("bos:/b/x/y") == ("b", "/x/y")
    assert generate_bos_file_parent_path("b", "/x/y") == "bos:/b/x"
    assert (is_valid_bos_path("bos:/b/x"), is_valid_bos_path("bos:/b"), is_valid_bos_path("/b/x")) == (
        True,
        False,
        False,
    )
