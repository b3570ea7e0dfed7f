"""The rows of a dataset version one by one: listed, changed, deleted.

The files of a version are all there is to it: what is trained on and exported is what lies in them. A changed row is
written into its file anew; a large file is cut into small ones before its first change, so that one change is cheap
however large the version is.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.records import Dataset, Part, Source
from qianfan.emulator.scans import Unit, packed, read_unit
from qianfan.emulator.templates import Row, Template

T = TypeVar("T")

PIECE = 64
"""Rows of a file that is written anew for one change."""

_ID = re.compile(r"([0-9a-f]{64})_([0-9a-f]{32})")
_KEY = re.compile(r"_system_/dataset/([^/]+)/entities/([^/]+)")


@dataclass(frozen=True)
class Entity:
    """A row of a version.

    part, place: of the file in the version and of the row in the file. number: which it keeps. row: what was read.
    """

    id: str
    part: int
    place: int
    number: int
    unit: Unit
    row: Row
    is_annotated: bool
    imported: datetime
    annotated_at: datetime | None
    labels: list[dict[str, JSON]]


def entities_of(account: Account, dataset: Dataset) -> Iterator[Entity]:
    """The rows of a version, in order."""
    for index in range(len(dataset.sources)):
        yield from _entities_in(account, dataset, index)


def find(account: Account, dataset: Dataset, entity_id: str) -> Entity | None:
    """A row by its id, None when the version has no such row."""
    matched = _ID.fullmatch(entity_id)
    if matched is None:
        return None
    number = int(matched[2], 16)
    for index, part in enumerate(dataset.sources):
        if _prefix(dataset, part) == matched[1]:
            place = number - part.first - bisect_left(part.removed, number)
            inside = part.first <= number and (part.span is None or number < part.first + part.span)
            if inside and number not in part.removed:
                return next(islice(_entities_in(account, dataset, index), place, None), None)
    return None


def write(
    account: Account, dataset: Dataset, entity: Entity, content: bytes, labels: Sequence[dict[str, JSON]] = ()
) -> None:
    """Put other content in place of a row's, as annotated just now. The content must fit the version's template."""
    entity = _cut_out(account, dataset, entity)
    part, number = dataset.sources[entity.part], entity.number
    # A text in a file of its own is not annotated, so what is written is a line, or belongs to an image.
    unit = Unit(entity.unit.file, content, image=entity.unit.image)
    noted, told = _without(part.noted, number), _without(part.labels, number)
    if read_unit(unit, account.template_of(dataset)).annotated:
        noted[number] = account.now()
    if labels:
        told[number] = list(labels)
    units = _units(account, dataset, part)
    units[entity.place] = unit
    _replace(account, dataset, entity.part, units, noted=noted, labels=told)


def remove(account: Account, dataset: Dataset, entity: Entity) -> None:
    """Take a row out of its version."""
    entity = _cut_out(account, dataset, entity)
    part, number = dataset.sources[entity.part], entity.number
    units = _units(account, dataset, part)
    del units[entity.place]
    gone, noted, told = sorted([*part.removed, number]), _without(part.noted, number), _without(part.labels, number)
    _replace(account, dataset, entity.part, units, removed=gone, noted=noted, labels=told)


def add_rows(account: Account, dataset: Dataset, sources: Sequence[Source], *, annotated: bool = True) -> None:
    """Add files that were scanned without a complaint to a version."""
    now = account.now()
    for source in sources:
        part = Part.of(source, origin=str(dataset.imports), annotated=annotated, imported=now)
        dataset.imports += 1
        dataset.sources = [*dataset.sources, part]
        _count(account, dataset, part, 1)


def content_at(account: Account, key: str) -> tuple[bytes, str] | None:
    """(content, its type) of the row behind a key of the platform's storage, None when the key names none."""
    matched = _KEY.fullmatch(key)
    dataset = account.datasets.get(matched[1]) if matched else None
    entity = find(account, dataset, matched[2]) if matched and dataset is not None else None
    if entity is None:
        return None
    if entity.unit.image is not None:
        return entity.unit.image[1], "image/*"
    return entity.unit.content, "text/plain; charset=utf-8"


def key_of(dataset: Dataset, entity: Entity) -> str:
    """Where a row can be read in the platform's storage."""
    return f"_system_/dataset/{dataset.id}/entities/{entity.id}"


def label_of(name: str) -> dict[str, JSON]:
    """What is said about an image as a label, in a colour of its own."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return {"label_id": digest[:16], "name": name, "color": f"#{digest[-6:]}"}


def written(value: JSON) -> bytes:
    """A row as a line."""
    return json.dumps(value, ensure_ascii=False).encode()


def _entities_in(account: Account, dataset: Dataset, index: int) -> Iterator[Entity]:
    part, template = dataset.sources[index], account.template_of(dataset)
    prefix, gone = _prefix(dataset, part), set(part.removed)
    number = part.first - 1
    for place, (unit, row) in enumerate(account.blob_of(part).rows(part.name, template)):
        number += 1
        while number in gone:
            number += 1
        yield Entity(
            id=f"{prefix}_{number:032x}",
            part=index,
            place=place,
            number=number,
            unit=unit,
            row=row,
            is_annotated=_is_annotated(part, number, row, template),
            imported=part.imported or dataset.created,
            annotated_at=part.noted.get(number),
            labels=part.labels.get(number) or _labels(unit, row, template),
        )


def _prefix(dataset: Dataset, part: Part) -> str:
    return hashlib.sha256(f"{dataset.id}/{part.origin or part.blob_key}".encode()).hexdigest()


def _is_annotated(part: Part, number: int, row: Row, template: Template) -> bool:
    # Data that is imported as not annotated has its answers all the same, waiting for somebody to confirm them.
    return row.annotated and (template.project_type != 20 or part.annotated or number in part.noted)


def _labels(unit: Unit, row: Row, template: Template) -> list[dict[str, JSON]]:
    if template.data_format != "PromptImage" or not row.annotated:
        return []
    said = json.loads(unit.text)
    return [label_of(said["prompt"])] if isinstance(said, dict) else []


def _without(facts: Mapping[int, T], number: int) -> dict[int, T]:
    return {other: fact for other, fact in facts.items() if other != number}


def _units(account: Account, dataset: Dataset, part: Part) -> list[Unit]:
    return [unit for unit, _ in account.blob_of(part).rows(part.name, account.template_of(dataset))]


def _cut_out(account: Account, dataset: Dataset, entity: Entity) -> Entity:
    """The same row, in a file that is small."""
    part = dataset.sources[entity.part]
    found = list(_entities_in(account, dataset, entity.part))
    if len(found) <= PIECE:
        return entity
    pieces: list[Part] = []
    for start in range(0, len(found), PIECE):
        inside, after = found[start : start + PIECE], found[start + PIECE : start + PIECE + 1]
        first = inside[0].number if start else part.first
        end = after[0].number if after else None
        span = end - first if end is not None else None if part.span is None else part.first + part.span - first
        pieces.append(_piece(account, part, [one.unit for one in inside], first, span))
    dataset.sources = [*dataset.sources[: entity.part], *pieces, *dataset.sources[entity.part + 1 :]]
    account.let_go(part)
    return next(one for one in entities_of(account, dataset) if one.id == entity.id)


def _piece(account: Account, part: Part, units: Sequence[Unit], first: int, span: int | None) -> Part:
    end = first + span if span is not None else math.inf
    return part.model_copy(
        update={
            **_stored(account, part, units),
            "first": first,
            "span": span,
            "removed": [number for number in part.removed if first <= number < end],
            "noted": {number: moment for number, moment in part.noted.items() if first <= number < end},
            "labels": {number: labels for number, labels in part.labels.items() if first <= number < end},
        }
    )


def _replace(account: Account, dataset: Dataset, index: int, units: Sequence[Unit], **changes: object) -> None:
    part = dataset.sources[index]
    _count(account, dataset, part, -1)
    new = part.model_copy(update={**_stored(account, part, units), **changes}) if units else None
    dataset.sources = [*dataset.sources[:index], *([new] if new else []), *dataset.sources[index + 1 :]]
    if new is not None:
        _count(account, dataset, new, 1)
    account.let_go(part)
    dataset.modified = account.now()
    account.touch()


def _stored(account: Account, part: Part, units: Sequence[Unit]) -> dict[str, object]:
    name, content = packed(units)
    # A part of an earlier version is known by its content, which is about to change.
    return {**account.keep(account.blobs.put(content), name).model_dump(), "origin": part.origin or part.blob_key}


def _count(account: Account, dataset: Dataset, part: Part, sign: int) -> None:
    template = account.template_of(dataset)
    scan = account.blob_of(part).scan(part.name, template)
    annotated = scan.annotated
    if template.project_type == 20 and not part.annotated:
        # Only what was annotated here counts, and that alone has a number noted.
        annotated = len(part.noted)
    dataset.rows += sign * scan.rows
    dataset.annotated_rows += sign * annotated
    dataset.characters += sign * scan.characters
    dataset.size += sign * scan.bytes
