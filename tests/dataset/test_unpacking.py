"""Archives of rows, the honest and the others."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.dataset.unpacking import unpack_images, unpack_rows
from qianfan.errors import DatasetExportError, FileSizeOverflow


def packed(folder: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "export.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def unpacked(archive: Path, limit: int = 10**6, **limits: int) -> list[object]:
    target = archive.with_name("rows.jsonl")
    unpack_rows(archive, target, dataset_id="ds-1", limit=limit, **limits)
    return [json.loads(line) for line in target.read_bytes().splitlines()]


def test_lines_and_texts_in_the_order_they_are_packed(tmp_path: Path) -> None:
    members = {
        "10.txt": "ten\nin two lines".encode("utf-8-sig"),
        "2.txt": "二".encode(),
        "blank.txt": b" \n",
        "folder/": b"",
        "folder/1.jsonl": b'\xef\xbb\xbf{"a": 1}\n{"a": 2}',
        "2.JSONL": b'{"a": 3}\r\n',
        "readme.md": b"not a row",
    }
    assert unpacked(packed(tmp_path, members)) == ["ten\nin two lines", "二", {"a": 1}, {"a": 2}, {"a": 3}]


@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\ufeff")), min_size=1))
def test_texts_come_out_as_they_went_in(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    members = {f"{number}.txt": text.encode() for number, text in enumerate([*texts, "last"])}
    found = unpacked(packed(tmp_path_factory.mktemp("texts"), members))
    assert found == [text for text in [*texts, "last"] if text.strip()]


def test_names_that_lead_out_of_the_folder_lead_nowhere(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    assert unpacked(packed(inside, {"../../evil.jsonl": b"1\n", "/tmp/evil.jsonl": b"2\n"})) == [1, 2]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "export.zip", "rows.jsonl"]


@pytest.mark.parametrize(
    "name",
    ["/etc/evil.jsonl", "C:\\evil.jsonl", "..\\..\\evil.jsonl", "a/../../evil.jsonl", "./evil.jsonl", "evil.jsonl/"],
)
def test_no_name_becomes_a_path(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    archive = packed(folder, {name: b"1\n", "ok.jsonl": b"2\n"})
    assert unpacked(archive)[-1] == 2
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "a",
        "a/export.zip",
        "a/rows.jsonl",
    ]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
@pytest.mark.parametrize("name", ["rows.jsonl", "row.txt"])
def test_what_is_no_plain_file_is_left_out(tmp_path: Path, kind: int, name: str) -> None:
    """The content of a link is where it leads to, which is no row."""
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        odd = zipfile.ZipInfo(name)
        odd.create_system = 3
        odd.external_attr = (kind | 0o777) << 16
        archive.writestr(odd, "/etc/passwd")
        plain = zipfile.ZipInfo("plain.jsonl")
        plain.external_attr = (stat.S_IFREG | 0o600) << 16
        archive.writestr(plain, "1\n")
    assert unpacked(path) == [1]
    assert not (tmp_path / "rows.jsonl").is_symlink()


def test_too_many_files(tmp_path: Path) -> None:
    """Counted before the list is read, whatever the archive claims."""
    archive = packed(tmp_path, {f"{number}.txt": b"1" for number in range(20)})
    assert len(unpacked(archive, most_members=20)) == 20
    with pytest.raises(FileSizeOverflow, match=r"ds-1.*more than 19 files"):
        unpacked(archive, most_members=19)
    content = bytearray(archive.read_bytes())
    end = content.rindex(b"PK\x05\x06")
    content[end + 8 : end + 12] = bytes(4)
    archive.write_bytes(content)
    with pytest.raises(FileSizeOverflow):
        unpacked(archive, most_members=19)


def test_much_more_than_can_be_packed_into_so_little(tmp_path: Path) -> None:
    """Far below the limit on size, but no rows of a dataset are that much alike."""
    archive = packed(tmp_path, {"rows.jsonl": b"1\n" * 40_000_000})
    with pytest.raises(FileSizeOverflow, match="more than 200 times its size"):
        unpacked(archive, limit=2**31)
    assert archive.with_name("rows.jsonl").stat().st_size <= 2**26 + 2**20


@pytest.mark.parametrize("name", ["rows.jsonl", "row.txt"])
def test_a_bomb_is_not_unpacked_beyond_the_limit(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path, {name: b" " * 50_000_000})
    assert archive.stat().st_size < 100_000
    with pytest.raises(FileSizeOverflow, match=r"ds-1.*100000 bytes"):
        unpacked(archive, limit=100_000)
    assert archive.with_name("rows.jsonl").stat().st_size <= 100_000


def test_the_limit_counts_all_members(tmp_path: Path) -> None:
    archive = packed(tmp_path, {"a.jsonl": b"1\n" * 50, "b.jsonl": b"1\n" * 50})
    assert len(unpacked(archive, limit=200)) == 100
    with pytest.raises(FileSizeOverflow):
        unpacked(archive, limit=199)


def test_what_an_archive_claims_is_not_believed(tmp_path: Path) -> None:
    """A member that says it is small and is not."""
    archive = packed(tmp_path, {"a.jsonl": b"1\n" * 1000}, zipfile.ZIP_STORED)
    size = (2000).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(size, (20).to_bytes(4, "little")))
    with pytest.raises(DatasetExportError, match="no archive that can be read"):
        unpacked(archive)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>not found</html>", b"PK\x03\x04 and nothing else"],
    ids=["empty", "page", "cut off"],
)
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "export.zip"
    path.write_bytes(content)
    with pytest.raises(DatasetExportError, match="'ds-1': the export is no archive") as caught:
        unpacked(path)
    assert caught.value.dataset_id == "ds-1"


def test_a_member_that_is_damaged(tmp_path: Path) -> None:
    archive = packed(tmp_path, {"a.jsonl": b"12345678\n"}, zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"12345678", b"12345679"))
    with pytest.raises(DatasetExportError, match="CRC"):
        unpacked(archive)


def test_a_member_that_needs_a_password(tmp_path: Path) -> None:
    archive = packed(tmp_path, {"a.jsonl": b"1\n"})
    content = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(DatasetExportError, match="encrypted"):
        unpacked(archive)


@pytest.mark.parametrize(
    ("members", "method", "said"),
    [
        ({"a.txt": "问".encode("gbk")}, zipfile.ZIP_DEFLATED, "utf-8"),
        ({"a.jsonl": b"1\n"}, zipfile.ZIP_BZIP2, "packed by method 12"),
        ({"a.png": b"picture"}, zipfile.ZIP_DEFLATED, "no rows"),
        ({}, zipfile.ZIP_DEFLATED, "no rows"),
    ],
)
def test_archives_without_rows_that_can_be_read(
    tmp_path: Path, members: dict[str, bytes], method: int, said: str
) -> None:
    with pytest.raises(DatasetExportError, match=said):
        unpacked(packed(tmp_path, members, method))


# --- images ----------------------------------------------------------------------------------------------------------


def unpacked_images(archive: Path, limit: int = 10**6, **limits: int) -> dict[str, bytes]:
    target = archive.with_name("images")
    unpack_images(archive, target, dataset_id="ds-1", limit=limit, **limits)
    return {path.name: path.read_bytes() for path in sorted(target.iterdir())}


def test_images_and_what_is_said_of_them_in_the_order_they_are_packed(tmp_path: Path) -> None:
    members = {
        "b/cat.JSON": b'{"prompt": "cat"}',
        "b/cat.PNG": b"a cat",
        "a/cat.jpg": b"another cat",
        "dog.webm": b"no image",
        "dog.json": b'{"prompt": "of no image"}',
        "folder/": b"",
        "0.bmp": b"nothing is said of it",
        "a/cat.json": b'{"prompt": "another"}',
    }
    assert unpacked_images(packed(tmp_path, members)) == {
        "0.json": b'{"prompt": "cat"}',
        "0.png": b"a cat",
        "1.jpg": b"another cat",
        "1.json": b'{"prompt": "another"}',
        "2.bmp": b"nothing is said of it",
    }


def test_rows_of_images_sort_as_they_are_numbered(tmp_path: Path) -> None:
    members = {f"{number}.png": str(number).encode() for number in range(101)}
    found = unpacked_images(packed(tmp_path, members))
    assert [*found.values()] == [*members.values()]
    assert [*found][::50] == ["000.png", "050.png", "100.png"]


@pytest.mark.parametrize(
    "name", ["/etc/evil.png", "C:\\evil.png", "..\\..\\evil.png", "a/../../evil.png", "../evil.png"]
)
def test_no_name_of_an_image_becomes_a_path(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    assert unpacked_images(packed(folder, {name: b"1"})) == {"0.png": b"1"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["0.png", "a", "export.zip", "images"]


@pytest.mark.parametrize("members", [{}, {"1.jsonl": b"1\n"}, {"1.json": b"{}"}])
def test_archives_without_images(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(DatasetExportError, match="'ds-1': the export holds no images"):
        unpacked_images(packed(tmp_path, members))


def test_limits_hold_for_images_as_well(tmp_path: Path) -> None:
    archive = packed(tmp_path, {"a.png": bytes(60), "b.png": bytes(60)})
    with pytest.raises(FileSizeOverflow, match="larger than 100 bytes"):
        unpacked_images(archive, limit=100)
    with pytest.raises(FileSizeOverflow, match="more than 1 files"):
        unpack_images(archive, tmp_path / "other", dataset_id="ds-1", limit=10**6, most_members=1)
