"""Trainers between processes: put into the journal or a file, and made again from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import Self

from qianfan._sync import run_sync
from qianfan._transport import Client
from qianfan.config import default_settings
from qianfan.errors import InvalidArgumentError, TrainerFileError, UnknownRunError
from qianfan.evaluation import Evaluator
from qianfan.journal import RunFacts
from qianfan.pipeline import Row, RunRecord
from qianfan.resources.purchase import token_for
from qianfan.trainer.arguments import DeployConfigLike, checked_id, revived_arguments
from qianfan.trainer.assembly import AssembledTrainer, Handlers
from qianfan.trainer.files import read_trainer, write_trainer
from qianfan.trainer.gate import DeployIf
from qianfan.trainer.state import (
    is_complete,
    is_left_running,
    journal_of,
    journal_path,
    journal_to_read,
    status_of,
)

KINDS: dict[str, type[SavedTrainer]] = {}
"""Every kind of trainer by the name that runs are kept under, those of users included once their module is imported."""


class SavedTrainer(AssembledTrainer):
    """A trainer that outlives its process."""

    async def asave(self, file: str | Path | None = None) -> Path:
        """Put this trainer and what it has done so far into the journal, or into a file that `load(file=...)` reads.

        Returns the path of the journal or the file.
        """
        known = self._what_is_known()
        rows = known.rows if known is not None else self._known_rows
        if file is not None:
            await write_trainer(Path(file), self._spec_of_run(), rows)
            return Path(file)
        settings = self._settings()
        journal = await journal_of(settings)
        await journal.put(self.id, spec=self._spec_of_run(), fingerprint=self._fingerprint(), rows=rows)
        return journal_path(settings)

    def save(self, file: str | Path | None = None) -> Path:
        """Blocking form of `asave`."""
        return run_sync(self.asave, file)

    @classmethod
    async def aload(
        cls,
        id: str | None = None,
        *,
        file: str | Path | None = None,
        client: Client | None = None,
        event_handler: Handlers | None = None,
        deploy_if: DeployIf | None = None,
    ) -> Self:
        """A trainer of an earlier process, by id or from a file; `resume()` then goes on where it ended.

        Everything is restored but event handlers: those given here hear what their namesakes have missed.
        deploy_if: the function that decides about the deployment, where this process could not import it.
        file: of `save(file)`, or a pipeline file of the platform's earlier SDK, whose orders are not placed again.
        Raises UnknownRunError, and TrainerFileError that names the place of what cannot be read.
        """
        if file is not None:
            spec, rows = await read_trainer(Path(file))
            try:
                return cls._revived(spec, rows, client, event_handler, deploy_if)
            except (InvalidArgumentError, TypeError) as error:
                raise TrainerFileError(str(error), file=str(file)) from error
        if id is None:
            raise InvalidArgumentError("say which trainer: load(id), or load(file=...)")
        facts = await cls._known_run(id, client)
        trainer = cls._revived(facts.spec, facts.rows, client, event_handler, deploy_if)
        trainer._status, trainer._left = status_of(facts), is_left_running(facts)
        return trainer

    @staticmethod
    async def _known_run(id: str, client: Client | None) -> RunFacts:
        settings = client.settings if client is not None else default_settings()
        try:
            return await (await journal_to_read(settings)).run(checked_id(id))
        except UnknownRunError as error:
            raise UnknownRunError(f"{error}; qianfan trainer list shows the known ones") from None

    @classmethod
    def _revived(
        cls,
        spec: Mapping[str, Any],
        rows: Mapping[str, Row],
        client: Client | None,
        handlers: Handlers | None,
        deploy_if: DeployIf | None = None,
    ) -> Self:
        kind = KINDS.get(str(spec.get("kind")))
        if kind is None or not issubclass(kind, cls):
            hint = "" if kind is not None else "; import the module that defines it first"
            raise InvalidArgumentError(f"that is a {spec.get('kind')!r}, not a {cls.__name__}{hint}")
        trainer = kind(**revived_arguments(spec["arguments"], deploy_if), client=client, event_handler=handlers)
        trainer._known_rows, trainer._record = dict(rows), RunRecord(rows)
        if is_complete(rows, [action.id for action in trainer.actions]):
            trainer.result = [trainer.made_so_far]
        assert isinstance(trainer, cls)
        return trainer

    @classmethod
    def load(
        cls,
        id: str | None = None,
        *,
        file: str | Path | None = None,
        client: Client | None = None,
        event_handler: Handlers | None = None,
        deploy_if: DeployIf | None = None,
    ) -> Self:
        """Blocking form of `aload`."""
        return run_sync(cls.aload, id, file=file, client=client, event_handler=event_handler, deploy_if=deploy_if)

    @classmethod
    def attach(
        cls,
        task_id: str,
        *,
        deploy_config: DeployConfigLike | None = None,
        event_handler: Handlers | None = None,
        name: str | None = None,
        client: Client | None = None,
        model_not_publish: bool = False,
        eval_dataset: Any = None,
        evaluators: Sequence[Evaluator] | None = None,
        deploy_if: DeployIf | None = None,
        id: str | None = None,
    ) -> Self:
        """A trainer for a training task that was started elsewhere: `run()` waits for it, publishes, and deploys.

        Sends nothing yet. Attaching to one task twice is the same run, unless `id` says otherwise.
        """
        return cls(
            attached_task_id=task_id,
            deploy_config=deploy_config,
            event_handler=event_handler,
            name=name,
            client=client,
            model_not_publish=model_not_publish,
            eval_dataset=eval_dataset,
            evaluators=evaluators,
            deploy_if=deploy_if,
            id=id or token_for("attach", cls.__name__, task_id),
        )
