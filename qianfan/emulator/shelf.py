"""A shelf keeps the records of one kind, found by id, by number, and in the order they came."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from qianfan.emulator.records import Record

R = TypeVar("R", bound=Record)

_NUMBER = re.compile(r"[0-9]{1,18}")


class Shelf(Generic[R]):
    """Records of one kind.

    prefix, length: of the ids, for example `job-` and 12 more characters; first: the first number given out.
    now: seconds on the clock by which the records age.
    made: how many records ever came into being here, those that are gone included.
    """

    def __init__(self, kind: type[R], prefix: str, length: int, first: int, now: Callable[[], float]) -> None:
        self.kind = kind
        self.prefix = prefix
        self.length = length
        self.next_number = first
        self.made = 0
        self._now = now
        self._born: dict[str, float] = {}
        self._by_id: dict[str, R] = {}
        self._by_number: dict[int, R] = {}

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, record: R) -> R:
        """Keep a record that has just come into being."""
        self.made += 1
        self._born[record.id] = self._now()
        return self.put_back(record)

    def put_back(self, record: R) -> R:
        """Keep a record that was there before this shelf."""
        self._by_id[record.id] = record
        self._by_number[record.number] = record
        self.next_number = max(self.next_number, record.number + 1)
        return record

    def get(self, key: object) -> R | None:
        """A record by id, by number or by the digits of its number; None when there is none."""
        if isinstance(key, bool):
            return None
        if isinstance(key, int):
            return self._by_number.get(key)
        if not isinstance(key, str):
            return None
        found = self._by_id.get(key)
        return self._by_number.get(int(key)) if found is None and _NUMBER.fullmatch(key) else found

    def age(self, record: R) -> float:
        """Seconds since a record came into being; infinite for one that was put back."""
        return self._now() - self._born.get(record.id, -math.inf)

    def made_since(self, made: int) -> list[R]:
        """The records that are left of those made after the first `made` of them, newest first."""
        return self.newest_first()[: self.made - made]

    def remove(self, record: R) -> None:
        """Forget a record."""
        self._born.pop(record.id, None)
        del self._by_id[record.id]
        del self._by_number[record.number]

    def clear(self) -> None:
        """Forget all records and how many they were; numbers go on."""
        self.made = 0
        self._born.clear()
        self._by_id.clear()
        self._by_number.clear()

    def newest_first(self) -> list[R]:
        """All records, the latest first."""
        return list(reversed(self._by_id.values()))

    def snapshot(self) -> Mapping[str, R]:
        """The records of this moment by id, to look at."""
        return MappingProxyType(dict(self._by_id))
