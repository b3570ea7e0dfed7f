"""The store behind every endpoint: what one account owns, under one lock.

Requests come from several threads and event loops at once. A handler works on the account while it holds `lock`
and never waits for anything meanwhile; bodies are read and answers are sent without it.
"""

from __future__ import annotations

import random
import secrets
import string
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, TypeVar

from qianfan._clock import Clock
from qianfan._types import JSON
from qianfan.emulator.blobs import Blob, BlobStore
from qianfan.emulator.buckets import Buckets
from qianfan.emulator.inquiries import Inquiries
from qianfan.emulator.lifecycle import Stages
from qianfan.emulator.limits import RateLimits
from qianfan.emulator.quirks import Quirks
from qianfan.emulator.records import (
    Augmentation,
    BatchTask,
    Cleaning,
    CompTask,
    ComputeUnit,
    ConfFile,
    Dataset,
    EvalExport,
    Evaluation,
    ExportTask,
    Group,
    ImportTask,
    Job,
    Model,
    ModelSet,
    Record,
    Service,
    Source,
    Task,
    TpmInstance,
    Usage,
)
from qianfan.emulator.scans import BadLine, Scan, refused_lines
from qianfan.emulator.shelf import Shelf
from qianfan.emulator.templates import Template, template_of
from qianfan.emulator.works import Works

R = TypeVar("R", bound=Record)

_LETTERS = string.ascii_lowercase + string.digits


_KINDS = {
    "dataset": "datasets",
    "job": "jobs",
    "task": "tasks",
    "model_set": "model_sets",
    "model": "models",
    "service": "services",
    "compression": "comp_tasks",
    "batch_inference": "batches",
    "evaluation": "evaluations",
    "compute_unit": "units",
    "tpm_instance": "tpm_instances",
}
"""What is counted when it is made -> its shelf."""


@dataclass(frozen=True)
class Keys:
    """The credentials of the account: account keys sign, the application pair gets OAuth tokens.

    Without them any well-formed credential is taken.
    """

    access_key: str
    secret_key: str
    ak: str
    sk: str

    def __repr__(self) -> str:
        return f"Keys(access_key={self.access_key[:4]}…)"


class Account:
    """Everything one account owns, and what it needs to make more of it.

    works: who trains, publishes and serves; set by whoever makes the account. inquiries: what asks models in bulk.
    seed: drives ids and simulated numbers, so that two emulators given the same calls answer alike.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        stages: Stages,
        blobs: BlobStore,
        keys: Keys | None = None,
        seed: int = 0,
    ) -> None:
        self.works: Works
        self.inquiries = Inquiries()
        self.clock = clock
        self.stages = stages
        self.blobs = blobs
        self.keys = keys
        self.seed = seed
        self.quirks = Quirks()
        self.refused: dict[str, str] = {}
        self.limits = RateLimits()
        self.lock = threading.RLock()
        self.changes = 0
        self.groups = Shelf(Group, "dg-", 16, 900, self._seconds)
        self.datasets = Shelf(Dataset, "ds-", 16, 51000, self._seconds)
        self.imports = Shelf(ImportTask, "task-", 12, 1, self._seconds)
        self.exports = Shelf(ExportTask, "task-", 12, 1, self._seconds)
        # What ids of cleanings and augmentations look like is not established.
        self.cleanings = Shelf(Cleaning, "etl-", 12, 700, self._seconds)
        self.augmentations = Shelf(Augmentation, "enhance-", 12, 300, self._seconds)
        self.jobs = Shelf(Job, "job-", 12, 18000, self._seconds)
        self.tasks = Shelf(Task, "task-", 12, 10000, self._seconds)
        self.model_sets = Shelf(ModelSet, "am-", 12, 20000, self._seconds)
        self.models = Shelf(Model, "amv-", 12, 23000, self._seconds)
        self.services = Shelf(Service, "svco-", 12, 5000, self._seconds)
        self.comp_tasks = Shelf(CompTask, "mcomp-", 12, 1, self._seconds)
        self.conf_files = Shelf(ConfFile, "conf-", 12, 1, self._seconds)
        self.units = Shelf(ComputeUnit, "", 32, 1, self._seconds)
        self.tpm_instances = Shelf(TpmInstance, "", 32, 1, self._seconds)
        self.usage = Shelf(Usage, "", 0, 1, self._seconds)
        self.batches = Shelf(BatchTask, "infer-", 12, 1, self._seconds)
        self.evaluations = Shelf(Evaluation, "ame-", 12, 3000, self._seconds)
        self.eval_exports = Shelf(EvalExport, "amemt-", 12, 400, self._seconds)
        self.deleted_jobs: dict[str, Job] = {}
        self.buckets = Buckets()
        self.tokens = Tokens()
        self._blob_cache: dict[str, Blob] = {}
        self._rng = random.Random(seed)

    @property
    def shelves(self) -> dict[str, Shelf[Any]]:
        """Every shelf by name, for what treats all of them alike.

        What a call makes on the side stands before what it is asked to make: a unit before the service it is for.
        """
        return {
            "groups": self.groups,
            "datasets": self.datasets,
            "imports": self.imports,
            "exports": self.exports,
            "cleanings": self.cleanings,
            "augmentations": self.augmentations,
            "conf_files": self.conf_files,
            "usage": self.usage,
            "tpm_instances": self.tpm_instances,
            "units": self.units,
            "jobs": self.jobs,
            "tasks": self.tasks,
            "model_sets": self.model_sets,
            "models": self.models,
            "services": self.services,
            "comp_tasks": self.comp_tasks,
            "batches": self.batches,
            "evaluations": self.evaluations,
            "eval_exports": self.eval_exports,
        }

    def now(self) -> datetime:
        """The present, in UTC."""
        return self.clock.wall()

    def _seconds(self) -> float:
        return self.clock.monotonic()

    @contextmanager
    def as_of(self, clock: Clock) -> Generator[None]:
        """Go by another clock for a moment. The account must be locked."""
        usual, self.clock = self.clock, clock
        try:
            yield
        finally:
            self.clock = usual

    def listed(self, shelf: Shelf[R]) -> list[R]:
        """What listings show and names find of a shelf, newest first."""
        return [record for record in shelf.newest_first() if self.is_listed(shelf, record)]

    def is_listed(self, shelf: Shelf[R], record: R) -> bool:
        """Whether a record is old enough to show in listings."""
        return shelf.age(record) >= self.quirks.listing_lag

    def made(self) -> dict[str, int]:
        """How many things of each kind ever came into being."""
        shelves = self.shelves
        return {kind: shelves[name].made for kind, name in _KINDS.items()}

    def deleted_job(self, key: JSON) -> Job | None:
        """A job that was deleted, by id or number; None when there was none."""
        return next((job for job in self.deleted_jobs.values() if key in (job.id, job.number, str(job.number))), None)

    def new_id(self, shelf: Shelf[R]) -> str:
        """A fresh id for a shelf."""
        while True:
            # Bought resources have no prefix, and hexadecimal digits in place of letters.
            new = shelf.prefix + self.letters(shelf.length) if shelf.prefix else self.digits(shelf.length)
            if shelf.get(new) is None:
                return new

    def letters(self, count: int) -> str:
        """Random lower-case letters and digits."""
        return "".join(self._rng.choices(_LETTERS, k=count))

    def digits(self, count: int) -> str:
        """Random hexadecimal digits."""
        return "".join(self._rng.choices(string.hexdigits[:16], k=count))

    def blob_of(self, source: Source) -> Blob:
        """The stored content behind a source."""
        blob = self._blob_cache.get(source.blob_key)
        if blob is None:
            blob = self.blobs.load(source.blob_key, source.size, source.md5, source.crc32)
            self._blob_cache[source.blob_key] = blob
        return blob

    def keep(self, blob: Blob, name: str) -> Source:
        """Hold a blob and give the record that stands for it."""
        self._blob_cache[blob.key] = blob
        return Source(name=name, blob_key=blob.key, size=blob.size, md5=blob.md5, crc32=blob.crc32)

    def let_go(self, source: Source) -> None:
        """Forget content that a version held, unless something else holds it too."""
        if all(other.blob_key != source.blob_key for other in self.sources()):
            self._blob_cache.pop(source.blob_key, None)

    def sources(self) -> Iterator[Source]:
        """Every content that something of the account needs."""
        yield from (stored.source for stored in self.buckets.objects())
        for dataset in self.datasets:
            yield from (*dataset.sources, *dataset.incoming)
        yield from chain.from_iterable(task.sources for task in self.tasks)
        yield from chain.from_iterable(filling.outcome for filling in [*self.cleanings, *self.augmentations])
        yield from (file.source for file in self.conf_files)
        yield from (one.answers for one in self.evaluations if one.answers is not None)
        yield from (model.export_source for model in self.models if model.export_source is not None)

    def scans(self, sources: Iterable[Source], template: Template) -> list[Scan]:
        """What several files hold, one by one."""
        return [self.blob_of(source).scan(source.name, template) for source in sources]

    def scan(self, sources: Iterable[Source], template: Template) -> Scan:
        """What several files hold together."""
        return Scan.together(self.scans(sources, template))

    def bad_lines(self, sources: Sequence[Source], template: Template) -> list[BadLine]:
        """What cannot be imported of several files: lines that break the template, and those with refused texts."""
        bad = self.scan(sources, template).bad
        if not self.refused:
            return bad
        contents = ((source.name, self.blob_of(source).read()) for source in sources)
        return [*bad, *chain.from_iterable(refused_lines(*one, template, self.refused) for one in contents)]

    def template_of(self, dataset: Dataset) -> Template:
        """The template of a dataset version."""
        group = self.groups.get(dataset.group_id)
        template = template_of(group.data_format if group else "")
        assert template is not None, "a group is only made with a known format"
        return template

    def clear(self) -> None:
        """Forget everything the account owns; credentials stay."""
        for shelf in self.shelves.values():
            shelf.clear()
        self.deleted_jobs.clear()
        self.buckets = Buckets()
        self._blob_cache.clear()
        self.works.clear()
        self.inquiries.clear()
        self.limits.clear()
        self.refused.clear()
        self.touch()

    def restart_ids(self) -> None:
        """After loading an earlier state: draw ids that were not drawn before it was saved."""
        self._rng = random.Random(f"{self.seed}:{self.changes}")

    def touch(self) -> None:
        """Note that something changed, so that it is written down."""
        self.changes += 1


class Tokens:
    """The access and bearer tokens that were given out, and the API keys, which end only when they are revoked."""

    def __init__(self) -> None:
        self._access: dict[str, datetime] = {}
        self._bearer: dict[str, datetime] = {}
        self._api_keys: set[str] = set()

    def new_access(self, now: datetime, seconds: int) -> str:
        """An OAuth token that lives for some seconds."""
        token = f"24.{secrets.token_hex(16)}.{seconds}.{int(now.timestamp()) + seconds}"
        self._access[token] = now + timedelta(seconds=seconds)
        return token

    def new_bearer(self, now: datetime, seconds: int) -> str:
        """A V2 token that lives for some seconds."""
        token = _bearer()
        self._bearer[token] = now + timedelta(seconds=seconds)
        return token

    def new_api_key(self) -> str:
        """A V2 token without an end."""
        key = _bearer()
        self._api_keys.add(key)
        return key

    def is_api_key(self, token: str) -> bool:
        """Whether a token is an API key, which may ask for short-lived ones."""
        return token in self._api_keys

    def access_state(self, token: str, now: datetime) -> str:
        """ "good", "expired" or "unknown"."""
        return _state(self._access.get(token), now)

    def bearer_state(self, token: str, now: datetime) -> str:
        """ "good", "expired" or "unknown"."""
        return "good" if token in self._api_keys else _state(self._bearer.get(token), now)

    def expire_all(self, now: datetime) -> None:
        """Make every token given out so far an expired one."""
        for tokens in (self._access, self._bearer):
            for token in tokens:
                tokens[token] = now

    def revoke_all(self) -> None:
        """Forget every token and API key, so that none of them is known any longer."""
        for tokens in (self._access, self._bearer, self._api_keys):
            tokens.clear()


def _bearer() -> str:
    return f"bce-v3/ALTAK-{secrets.token_hex(8)}/{secrets.token_hex(20)}"


def _state(ends: datetime | None, now: datetime) -> str:
    if ends is None:
        return "unknown"
    return "good" if now < ends else "expired"
