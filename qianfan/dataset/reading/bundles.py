"""Several files as one: a folder or a zip of files with rows, or of images with their descriptions."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

from qianfan.dataset.reading.archives import Archive
from qianfan.dataset.reading.content import Content
from qianfan.dataset.reading.encodings import BOM
from qianfan.dataset.reading.files import Blob, FileBlob, PackedBlob, errors_named
from qianfan.dataset.reading.json_text import BadJson, loads
from qianfan.dataset.reading.places import RawRow, RowProblem

IMAGES = (".jpg", ".jpeg", ".png", ".bmp")
_MAX_DESCRIPTION = 1 << 20


def files_in(path: Path) -> list[tuple[str, FileBlob | PackedBlob]]:
    """The files in a folder and the folders below, or in a zip archive, by name, with 2 before 10.

    Hidden ones are left out, and so is what macOS adds to archives. Links to files are followed, links to folders are
    not. Raises DataFileError, UnsafeArchiveError for an archive that is not to be unpacked.
    """
    found: Iterable[tuple[str, FileBlob | PackedBlob]]
    found = _in_folder(path) if path.is_dir() else ((member.name, member) for member in Archive(path).members())
    return sorted(((name, blob) for name, blob in found if not _is_hidden(name)), key=lambda one: _in_order(one[0]))


def _in_folder(path: Path) -> list[tuple[str, FileBlob]]:
    def refuse(error: OSError) -> None:
        raise error

    with errors_named(path):
        paths = [Path(folder) / name for folder, _, names in os.walk(path, onerror=refuse) for name in names]
    return [(one.relative_to(path).as_posix(), FileBlob(one)) for one in paths]


def _is_hidden(name: str) -> bool:
    return any(step.startswith(".") or step == "__MACOSX" for step in PurePosixPath(name).parts)


def _in_order(name: str) -> tuple[list[tuple[int, str]], str]:
    # Every second part is a number, and a shorter number is smaller; Python makes no integers of very long ones.
    parts = re.split(r"0*([0-9]+)", name)
    return [(len(part) if place % 2 else 0, part) for place, part in enumerate(parts)], name


class Several(Content):
    """The rows of several files, one after the other; each row and problem names its file."""

    def __init__(self, parts: Sequence[tuple[str, Content]]) -> None:
        self._parts = parts
        self._ends: list[int] | None = None

    def rows(self) -> Iterator[RawRow]:
        for name, content in self._parts:
            for row in content.rows():
                yield _in_file(row, name)

    def row(self, position: int) -> RawRow:
        position = range(len(self))[position]
        ends = self._counted()
        part = bisect_right(ends, position)
        name, content = self._parts[part]
        return _in_file(content.row(position - (ends[part - 1] if part else 0)), name)

    def __len__(self) -> int:
        ends = self._counted()
        return ends[-1] if ends else 0

    @property
    def known_length(self) -> int | None:
        return None if self._ends is None else len(self)

    def _counted(self) -> list[int]:
        """How many rows there are up to the end of each file."""
        if self._ends is None:
            self._ends = [*accumulate(len(content) for _, content in self._parts)]
        return self._ends


def _in_file(row: RawRow, name: str) -> RawRow:
    file = f"{name}/{row.file}" if row.file else name
    problem = None if row.problem is None else replace(row.problem, file=file)
    return row._replace(file=file, problem=problem)


class Pictures(Content):
    """Images, each with a JSON file of the same stem that holds its description: `{"prompt": "…"}`.

    A row is `{"image": name of the image, "prompt": its description}`, without a description for an image that has
    none. A JSON file without an image is a problem. Rows are numbered; the pixels are not looked at.
    """

    def __init__(self, files: Sequence[tuple[str, Blob]]) -> None:
        described = {_stem(name): blob for name, blob in files if name.lower().endswith(".json")}
        images = [name for name, _ in files if name.lower().endswith(IMAGES)]
        self._images = [(name, described.get(_stem(name))) for name in images]
        stems = {_stem(name) for name in images}
        self._alone = [name for name, _ in files if name.lower().endswith(".json") and _stem(name) not in stems]

    def rows(self) -> Iterator[RawRow]:
        return (self.row(position) for position in range(len(self)))

    def row(self, position: int) -> RawRow:
        position = range(len(self))[position]
        if position < len(self._images):
            return _picture(position + 1, *self._images[position])
        name = self._alone[position - len(self._images)]
        reason = "a description without an image of the same name"
        fix = f"add the image, as one of {', '.join(IMAGES)}, or take the file away"
        return RawRow(position + 1, 0, "", problem=RowProblem(position + 1, 0, reason, "", "missing", "", fix, name))

    def __len__(self) -> int:
        return len(self._images) + len(self._alone)

    @property
    def known_length(self) -> int:
        return len(self)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _picture(number: int, image: str, description: Blob | None) -> RawRow:
    row: dict[str, Any] = {"image": image}
    if description is None:
        return RawRow(number, 0, "", row, file=image)
    name = str(PurePosixPath(image).with_name(PurePosixPath(description.name).name))
    with description.stream() as file:
        content = file.read(_MAX_DESCRIPTION + 1)
    if len(content) > _MAX_DESCRIPTION:
        reason = f"a description of more than {_MAX_DESCRIPTION >> 20} MB"
        return RawRow(number, 0, "", problem=RowProblem(1, 1, reason, rule="too-long", file=name), file=image)
    try:
        value = loads(content.removeprefix(BOM))
    except BadJson as bad:
        problem = RowProblem(1 + bad.line, bad.column, bad.reason, "", bad.rule, bad.found, bad.fix, name)
        return RawRow(number, 0, "", problem=problem, file=image)
    if not isinstance(value, dict):
        problem = RowProblem(1, 1, 'must look like {"prompt": "…"}', "", "wrong-type", "", "", name)
        return RawRow(number, 0, "", problem=problem, file=image)
    if "prompt" in value:
        row["prompt"] = value["prompt"]
    return RawRow(number, 0, "", row, file=image)
