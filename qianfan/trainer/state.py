"""Where trainers keep what they know between processes: one file each, below the cache folder.

Without a usable folder everything works but coming back after the process has ended; that is said once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio

from qianfan.config import Settings
from qianfan.errors import InvalidArgumentError
from qianfan.pipeline import FileSnapshot, Pipeline, Snapshot
from qianfan.pipeline._plan import made_by
from qianfan.utils.logging import logger

_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def state_file(settings: Settings, trainer_id: str) -> Path:
    """The file of a trainer. Raises InvalidArgumentError for an id that cannot be one."""
    if not _SAFE_ID.fullmatch(trainer_id):
        raise InvalidArgumentError(f"{trainer_id!r} is no trainer id; qianfan trainer list shows the known ones")
    return folder(settings) / f"{trainer_id}.json"


def folder(settings: Settings) -> Path:
    """Where the files of all trainers are."""
    return Path(settings.cache_dir).expanduser() / "trainers"


class TrainerFile(FileSnapshot):
    """A trainer's file. A full disk or a folder that went away is said once and does not end a run that costs money."""

    _failed = False

    async def save(self) -> None:
        try:
            await super().save()
        except OSError as error:
            if not self._failed:
                logger.warning("%s: %s", self.path, _no_way_back(error))
            self._failed = True


def _no_way_back(error: OSError) -> str:
    return (
        f"cannot be written ({error.strerror or error}), so this trainer cannot be resumed after the process has "
        "ended. Set QIANFAN_CACHE_DIR to a folder that can"
    )


async def open_snapshot(settings: Settings, trainer_id: str, about: dict[str, Any], *, anew: bool) -> Snapshot:
    """A snapshot in the trainer's file, or in memory when the cache is switched off or its folder cannot be used.

    A file of the same trainer is gone on with, unless `anew`. Raises InvalidArgumentError for one with other arguments.
    """
    if settings.disable_cache:
        return Snapshot()
    file = state_file(settings, trainer_id)
    if not anew and await anyio.Path(file).exists():
        known = await TrainerFile.open(file)
        if known.about.get("spec") != json.loads(json.dumps(about["spec"])):
            raise InvalidArgumentError(
                f"trainer {trainer_id!r} exists with other arguments; load it, choose another id, or run(force=True)"
            )
        return known
    snapshot = TrainerFile(file, about)
    await snapshot.save()
    return snapshot


async def copy_to(path: Path, about: dict[str, Any], known: Snapshot | None, pipeline: Pipeline) -> None:
    """Write a trainer's file somewhere, with what its steps have made and noted so far."""
    copy = FileSnapshot(path, about)
    if known is not None:
        for action in pipeline:
            copy.adopt(action.id, known, made_by(action))
    await copy.save()


async def reopen(path: Path) -> TrainerFile:
    """The snapshot in a file. Raises InvalidArgumentError when there is none."""
    if not await anyio.Path(path).exists():
        raise InvalidArgumentError(f"there is no trainer file {str(path)!r}; qianfan trainer list shows the known ones")
    return await TrainerFile.open(path)


def is_id(key: str) -> bool:
    """Whether a key of a result names something that exists on the platform."""
    return key.endswith("_id") or key == "service_endpoint"


def ids_in_notes(notes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The ids that steps noted, under the keys of a result."""
    renamed = {"set_id": "model_set_id"}
    found = {renamed.get(key, key): value for facts in notes for key, value in facts.items() if is_id(key)}
    return {key: value for key, value in found.items() if value is not None}


def known_trainers(settings: Settings) -> list[dict[str, Any]]:
    """What the files say about their trainers, the latest first. Files that cannot be read are left out."""
    found: list[dict[str, Any]] = []
    for file in folder(settings).glob("*.json"):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            about, noted = content["about"], ids_in_notes(content["notes"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("%s is skipped: %s", file, error)
            continue
        # A process that was killed could not write what it knew, but every step notes its ids before it uses them.
        found.append({**about, "ids": {**noted, **(about.get("ids") or {})}, "file": str(file)})
    return sorted(found, key=lambda about: str(about.get("updated", "")), reverse=True)
