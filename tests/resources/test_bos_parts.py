"""Object storage beyond single objects: listings, copies, buckets, uploads in parts, and the documented helper."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import anyio
import pytest

from qianfan.emulator import Emulator
from qianfan.errors import APIError, DataFileChangedError, InvalidArgumentError
from qianfan.resources import BosPath, Platform
from qianfan.resources.bos import Part
from qianfan.resources.fingerprint import fingerprint
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


async def interrupted(platform: Platform, path: Path, to: BosPath = LARGE) -> None:
    """An upload that is cancelled when its first part of 5 MiB has arrived."""
    with anyio.CancelScope() as scope:
        await platform.bos.put_file_in_parts(
            path,
            to,
            part_size=5 * MIB,
            at_once=1,
            on_progress=lambda done, size: scope.cancel() if done > 5 * MIB else None,
        )
    assert scope.cancelled_caught


async def test_a_cancelled_upload_goes_on_where_it_stopped(
    platform: Platform, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x" * (11 * MIB) + b"end")
    await interrupted(platform, tmp_path / "file")
    assert emulator.count("AbortMultipartUpload") == 0
    sent, told = emulator.count("UploadPart"), list[int]()
    await platform.bos.put_file_in_parts(
        tmp_path / "file", LARGE, part_size=5 * MIB, on_progress=lambda done, size: told.append(done)
    )
    assert told[0] == 5 * MIB
    assert told == sorted(set(told))
    assert emulator.count("UploadPart") - sent == 2
    assert emulator.count("InitiateMultipartUpload") == 1
    assert emulator.read_object(BUCKET, "large") == (tmp_path / "file").read_bytes()


async def test_parts_of_other_content_are_left_alone(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (11 * MIB))
    await interrupted(platform, tmp_path / "file")
    (tmp_path / "file").write_bytes(b"y" * (11 * MIB))
    await platform.bos.put_file_in_parts(tmp_path / "file", LARGE, part_size=5 * MIB)
    assert emulator.count("InitiateMultipartUpload") == 2
    assert emulator.read_object(BUCKET, "large") == b"y" * (11 * MIB)
    left = [upload.key async for upload in platform.bos.uploads(LARGE)]
    assert left == ["large"]


async def test_uploads_that_nobody_goes_on_with_are_given_up(
    platform: Platform, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x" * (6 * MIB))
    for number in range(3):
        await interrupted(platform, tmp_path / "file", BosPath(BUCKET, f"in/{number}"))
    first = [upload async for upload in platform.bos.uploads(BosPath(BUCKET, "in/"))]
    assert [upload.key for upload in first] == ["in/0", "in/1", "in/2"]
    assert first[0].initiated is not None
    assert await platform.bos.abort_uploads(BosPath(BUCKET, "in/"), begun_before=first[0].initiated) == 0
    assert await platform.bos.abort_uploads(BosPath(BUCKET, "in/")) == 3
    assert [upload async for upload in platform.bos.uploads(BosPath(BUCKET, ""))] == []


async def test_two_at_once_that_send_the_same(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (11 * MIB))
    content = fingerprint(tmp_path / "file")
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(
                partial(platform.bos.put_file_in_parts, content=content, part_size=5 * MIB), tmp_path / "file", LARGE
            )
    assert await platform.bos.holds(LARGE, content)
    assert [upload async for upload in platform.bos.uploads(LARGE)] == []


@pytest.mark.parametrize("is_known", [True, False], ids=["by its content", "by its key alone"])
async def test_a_completion_whose_answer_is_lost(
    platform: Platform, emulator: Emulator, tmp_path: Path, is_known: bool
) -> None:
    """Asked again, the storage knows no such upload any more, as when another process completed it."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * (6 * MIB))
    content = fingerprint(path)
    emulator.faults.add("CompleteMultipartUpload", drop="after")
    await platform.bos.put_file_in_parts(path, LARGE, content=content if is_known else None)
    assert emulator.read_object(BUCKET, "large") == path.read_bytes()
    assert await platform.bos.holds(LARGE, content) is is_known
    assert emulator.count("UploadPart") == (1 if is_known else 2)


async def test_a_whole_that_differs_is_not_made(platform: Platform, emulator: Emulator, tmp_path: Path) -> None:
    """The file was replaced by one of the same size between the two times it was read."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * (6 * MIB))
    content = fingerprint(path)
    path.write_bytes(b"y" * (6 * MIB))
    for send in (platform.bos.put_file, platform.bos.put_file_in_parts):
        with pytest.raises(DataFileChangedError, match="was changed while it was read"):
            await send(path, LARGE, content=content)
    assert not await platform.bos.exists(LARGE)
    assert [upload async for upload in platform.bos.uploads(LARGE)] == []


@pytest.mark.parametrize("is_known", [True, False], ids=["by its content", "by its key alone"])
async def test_a_file_that_shrinks_meanwhile(
    platform: Platform, emulator: Emulator, tmp_path: Path, is_known: bool
) -> None:
    """Less comes than was announced, which is told as what it is, and nothing is kept of it."""
    path = tmp_path / "file"

    def shrink(done: int, size: int) -> None:
        with path.open("r+b") as file:
            file.truncate(5 * MIB + 1)

    for send in (platform.bos.put_file, partial(platform.bos.put_file_in_parts, at_once=1, part_size=5 * MIB)):
        path.write_bytes(b"x" * (11 * MIB))
        with pytest.raises(DataFileChangedError, match="was changed while it was read"):
            await send(path, LARGE, content=fingerprint(path) if is_known else None, on_progress=shrink)
    assert not await platform.bos.exists(LARGE)
    assert [upload async for upload in platform.bos.uploads(LARGE)] == []


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
