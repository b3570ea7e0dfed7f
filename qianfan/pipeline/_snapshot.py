"""What a run has made so far, so that a second attempt goes on instead of starting over.

A snapshot holds two things for each action id: its output once it is done, and its notes, small facts that the
action wants to find again (a job id, the name it was about to use). `Snapshot` lives in memory; `FileSnapshot` is also
a JSON file, replaced as a whole at every change, so that a crash leaves the old or the new state and never half of one.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any, cast

import anyio
from pydantic import TypeAdapter
from typing_extensions import Self

from qianfan._sync import in_thread
from qianfan.errors import InternalError, InvalidArgumentError

FORMAT = 1


class Snapshot:
    """What a run has made so far, in memory."""

    def __init__(self) -> None:
        self._outputs: dict[str, Any] = {}
        self._notes: dict[str, dict[str, Any]] = {}

    def __contains__(self, action_id: str) -> bool:
        """Whether the action is done."""
        return action_id in self._outputs

    def output(self, action_id: str, made: Any) -> Any:
        """What a finished action made. made: the type that it makes."""
        return self._outputs[action_id]

    def notes(self, action_id: str) -> dict[str, Any]:
        """A copy of what the action noted so far."""
        return dict(self._notes.get(action_id, {}))

    async def record(self, action_id: str, output: Any, made: Any) -> None:
        """Remember that an action is done and what it made."""
        self._outputs[action_id] = output

    async def note(self, action_id: str, facts: dict[str, Any]) -> None:
        """Add facts (JSON values) to an action's notes. Durable, where the snapshot is, once this returns."""
        self._notes.setdefault(action_id, {}).update(facts)

    async def forget(self, action_id: str) -> None:
        """Drop what is known of an action, so that it starts afresh."""
        self._outputs.pop(action_id, None)
        self._notes.pop(action_id, None)


class FileSnapshot(Snapshot):
    """A snapshot that is also a JSON file. Make it with `await FileSnapshot.open(path)`.

    Outputs are written through their type (`run`'s return annotation), so they must be things pydantic can write and
    read back: models, dataclasses, plain values. Action ids must be the same in the next process: give actions an `id`.
    """

    def __init__(self, path: Path, about: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.path = path
        self.about: dict[str, Any] = about or {}
        """What the file is about, in the words of whoever keeps it: JSON values, written with everything else."""
        self._encoded: dict[str, Any] = {}
        self._changes = 0
        self._written = 0
        self._writing = threading.Lock()

    @classmethod
    async def open(cls, path: str | os.PathLike[str]) -> Self:
        """Read the file if it is there, else begin an empty one. Raises InvalidArgumentError if it is no snapshot."""
        snapshot = cls(Path(path))
        text = await in_thread(_read_if_there, snapshot.path)
        if text is not None:
            snapshot._load(text)
        return snapshot

    def _load(self, text: str) -> None:
        try:
            content = json.loads(text)
            version = content["format"]
            outputs, notes = content["outputs"], content["notes"]
            about = content.get("about", {})
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidArgumentError(f"{self.path} is no snapshot of a run: {error}") from error
        if version != FORMAT:
            raise InvalidArgumentError(f"{self.path} has snapshot format {version!r}; this version reads {FORMAT}")
        self.about = about
        self._encoded = cast("dict[str, Any]", outputs)
        self._notes = cast("dict[str, dict[str, Any]]", notes)

    def __contains__(self, action_id: str) -> bool:
        return action_id in self._encoded

    def output(self, action_id: str, made: Any) -> Any:
        if action_id not in self._outputs:
            self._outputs[action_id] = TypeAdapter(made).validate_python(self._encoded[action_id])
        return self._outputs[action_id]

    async def record(self, action_id: str, output: Any, made: Any) -> None:
        await super().record(action_id, output, made)
        self._encoded[action_id] = _encode(output, made)
        await self.save()

    async def note(self, action_id: str, facts: dict[str, Any]) -> None:
        await super().note(action_id, facts)
        await self.save()

    async def forget(self, action_id: str) -> None:
        await super().forget(action_id)
        self._encoded.pop(action_id, None)
        await self.save()

    def adopt(self, action_id: str, other: Snapshot, made: Any) -> None:
        """Take over what another snapshot knows of an action, without writing the file yet."""
        if notes := other.notes(action_id):
            self._notes[action_id] = notes
        if action_id in other:
            self._encoded[action_id] = _encode(other.output(action_id, made), made)

    async def save(self) -> None:
        """Write the file. Called by itself after every change."""
        # Shielded: a caller that is cancelled here must be able to rely on what it noted.
        with anyio.CancelScope(shield=True):
            content = {"format": FORMAT, "about": self.about, "outputs": self._encoded, "notes": self._notes}
            text = json.dumps(content, ensure_ascii=False, indent=1)
            self._changes += 1
            await in_thread(self._write, text, self._changes)

    def _write(self, text: str, change: int) -> None:
        # Worker threads may get here in another order than the changes were made in.
        with self._writing:
            if change > self._written:
                _replace(self.path, text)
                self._written = change


def _encode(output: Any, made: Any) -> Any:
    try:
        return TypeAdapter(made).dump_python(output, mode="json")
    except Exception as error:
        raise InternalError(f"{output!r} cannot be written to a snapshot as {made!r}: {error}") from error


def _read_if_there(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes the file readable by its owner only, and the same directory makes the rename atomic.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
