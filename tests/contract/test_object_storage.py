"""Object storage by its documented helper."""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx
import pytest

from qianfan.emulator.account import Account
from qianfan.errors import APIError
from qianfan.utils.bos_uploader import BosHelper
from tests.contract.conftest import Faces

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

BUCKET = "my-bucket"


def content_of(account: Account, key: str) -> bytes:
    with account.lock:
        return account.blob_of(account.buckets.snapshot()[BUCKET][key].source).read()


async def test_files_go_up_and_come_down(ask: Faces, account: Account, tmp_path: Path) -> None:
    helper, file = BosHelper(), anyio.Path(tmp_path / "file")
    await file.write_bytes(b"1" * (6 << 20))
    await ask(helper, "upload_file_to_bos", str(file), "/in/文件", BUCKET)
    await ask(helper, "upload_content_to_bos", "文本", "/in/text", BUCKET)
    assert content_of(account, "in/文件") == await file.read_bytes()
    assert await ask(helper, "get_file_size", BUCKET, "/in/文件") == 6 << 20
    await ask(helper, "get_object_as_file", BUCKET, "/in/text", str(tmp_path / "text"))
    assert await anyio.Path(tmp_path / "text").read_text(encoding="utf-8") == "文本"
    assert (await ask(helper, "get_metadata", BUCKET, "/in/text"))["content_length"] == "6"


async def test_folders_copies_and_what_is_gone(ask: Faces, account: Account) -> None:
    helper = BosHelper()
    for name in ("a/1", "a/b/2"):
        await ask(helper, "upload_content_to_bos", name, f"/{name}", BUCKET)
    assert [entry.key for entry in await ask(helper, "list_dir", BUCKET, "/a/")] == ["a/1"]
    assert [entry.key for entry in await ask(helper, "list_dir", BUCKET, "/a/", only_deep1=False)] == ["a/1", "a/b/2"]
    assert await ask(helper, "is_dir", BUCKET, "/a/b") is True
    await ask(helper, "copy_object", BUCKET, "/a/1", "/c")
    assert content_of(account, "c") == b"a/1"
    await ask(helper, "delete_bos_file_anyway", BUCKET, "/c")
    assert await ask(helper, "check_if_file_existed_on_bos", BUCKET, "/c") is False
    with pytest.raises(APIError) as missing:
        await ask(helper, "get_file_size", BUCKET, "/c")
    assert missing.value.http_status == 404


async def test_a_link_needs_no_keys(ask: Faces) -> None:
    helper = BosHelper()
    await ask(helper, "upload_content_to_bos", "shared", "/s", BUCKET)
    link = await ask(helper, "get_bos_file_shared_url", "/s", BUCKET)
    assert "secret-of-tests" not in link
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(link)).text == "shared"
        assert (await stranger.get(link.replace("/s?", "/t?"))).status_code == 403
    assert await ask(helper, "get_bos_bucket_location", BUCKET) == "bj"
