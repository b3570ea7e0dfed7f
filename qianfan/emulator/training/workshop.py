"""The real engines behind an account: trainings and publications as child processes, and models that answer.

Theory of operation. An account's records are the truth about states; this moves them. A training is one child process
at a time in its own folder: `spec.json`, `train.jsonl` and `eval.jsonl` go in, `events.jsonl`, `worker.log` and
`checkpoints/` come out, and a model is a folder made of a checkpoint by another child. Children are supervised on an
event loop of the emulator's own. Every event is on disk before the record moves, so an emulator that starts again on
the same folder knows what was done, and what was cut off.
"""

from __future__ import annotations

import logging
import random
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import anyio.to_thread

from qianfan._types import JSON
from qianfan.emulator import catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.lifecycle import DEPLOY, PUBLISH, TRAINING
from qianfan.emulator.records import Model, Service, Task
from qianfan.emulator.templates import needed_for
from qianfan.emulator.training import rows as data
from qianfan.emulator.training.addresses import Addressed
from qianfan.emulator.training.generators import Generators, broken
from qianfan.emulator.training.loop import LoopThread
from qianfan.emulator.training.options import EngineOptions
from qianfan.emulator.training.record import TrainingRecord
from qianfan.emulator.works import Curve, Reply
from qianfan.engines.backend import EngineError
from qianfan.engines.process import End, last_lines, supervise, worker_command, worker_environment
from qianfan.engines.rows import MODES, Message, Mode, Row
from qianfan.engines.spec import SCALES, PublishSpec, Sampling, Scale, Started, TrainSpec

logger = logging.getLogger("qianfan.emulator")

_STOPPED = 3
"""The exit code of a child that was asked to end and did."""


class _Stop:
    """The wish to end one training. Made on any thread; uttered, and heard by its events, on the loop of the works."""

    def __init__(self) -> None:
        self.is_wanted = False
        self.event: anyio.Event | None = None
        self.over: anyio.Event | None = None

    def utter(self) -> None:
        self.is_wanted = True
        if self.event is not None:
            self.event.set()


class Workshop:
    """`Works` by child processes.

    place: the folder that keeps trainings and models; a temporary one when left out.
    save: writes the account down after its records have moved.
    """

    simulated = False

    def __init__(
        self, account: Account, options: EngineOptions, *, place: Path | None, save: Callable[[], None]
    ) -> None:
        self.options = options
        self._account = account
        self._save = save
        self._given_place = place
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._placing = threading.Lock()
        self._recording = threading.Lock()
        self._loop = LoopThread()
        self._turn: anyio.CapacityLimiter | None = None
        self._records: dict[str, TrainingRecord] = {}
        self._stops: dict[str, _Stop] = {}
        # Models from scratch are so small that a second thread only gets in the way.
        threads = 1 if options.engine == "tiny" or not options.base else None
        self._environment = worker_environment(threads=threads)
        self._generators = Generators(self._loop, threads=threads, idle=options.idle, silence=options.silence)

    # --- trainings -------------------------------------------------------------------------------------------------

    def start_training(self, task: Task, *, doom: str = "") -> None:
        task.state = TRAINING.move(task.state, "Waiting")
        if doom:
            task.state, task.reason = TRAINING.move(task.state, "Failed"), doom
            return
        self._stops[task.id] = _Stop()
        self._loop.start_soon(self._train, task)

    def look_at_training(self, task: Task, *, look: bool) -> None: ...

    def stop_training(self, task: Task) -> None:
        stop = self._stops.get(task.id)
        if stop is not None:
            self._loop.call_soon(stop.utter)

    async def _train(self, task: Task) -> None:
        if self._turn is None:
            self._turn = anyio.CapacityLimiter(self.options.at_once)
        stop = self._stops[task.id]
        stop.over = anyio.Event()
        try:
            async with self._turn:
                if task.state == "Waiting" and not stop.is_wanted:
                    stop.event = anyio.Event()
                    await self._train_now(task, stop.event)
        finally:
            self._stops.pop(task.id, None)
            stop.over.set()

    async def _train_now(self, task: Task, stop: anyio.Event) -> None:
        try:
            folder, record = self.folder_of(task), self._record(task)
            await anyio.to_thread.run_sync(self._prepare, task, folder)
            end = await supervise(
                worker_command("train", folder / "spec.json"),
                told=lambda line: self._hear(task, record, line),
                stop=stop,
                environment=self._environment,
                log=folder / "worker.log",
                silence=self.options.silence,
                grace=self.options.grace,
            )
        except EngineError as error:
            self._move(task, "Failed", _words(str(error), error.hint))
            return
        except Exception as error:
            # Whatever it is, a training that nobody supervises must not look as if it went on.
            self._move(task, "Failed", f"it could not be supervised: {error}")
            raise
        self._finish(task, record, end, folder / "worker.log", was_asked=stop.is_set())

    def _finish(self, task: Task, record: TrainingRecord, end: End, log: Path, *, was_asked: bool) -> None:
        if end.code == 0:
            if task.state == "Waiting":  # so short that nobody heard it begin
                self._move(task, "Running")
            self._move(task, "Done")
        elif end.code == _STOPPED and was_asked:
            self._move(task, "Stopped")
        elif end.code == _STOPPED:
            self._move(task, "Failed", "something outside the emulator ended the trainer")
        else:
            self._move(task, "Failed", _why(record, end, log, self.options.silence))

    def _hear(self, task: Task, record: TrainingRecord, line: bytes) -> None:
        event = record.tell(line)
        if event is None:
            logger.warning("%s told what is no event: %s", task.id, line[:200].decode("utf-8", "replace"))
        elif isinstance(event, Started):
            self._move(task, "Running")

    def _move(self, task: Task, state: str, reason: str = "") -> None:
        """Move a training on, unless somebody has stopped it meanwhile."""
        account = self._account
        with account.lock:
            if state not in TRAINING.moves[task.state]:
                return
            task.state, task.reason = TRAINING.move(task.state, state), reason
            if state in TRAINING.ends:
                task.finished = account.now()
            account.touch()
        self._save()

    # --- what a training reads -------------------------------------------------------------------------------------

    def _prepare(self, task: Task, folder: Path) -> None:
        """Write the rows and the spec. Raises EngineError where there is nothing to train, or no base to go on from."""
        mode, scale = _mode_of(task), _scale_of(task)
        folder.mkdir(parents=True, exist_ok=True)
        parameters, defaults = _hyper_parameters(task)
        rng = random.Random(int(parameters.get("seed") or 42))
        training, held_out = data.split(self._rows(task, mode, rng), task.split_ratio, rng)
        if not training:
            raise EngineError("no_rows", "the data hold no row to learn from", "check that the rows have answers")
        probability = float(parameters.get("pseudoSamplingProb") or 0)
        if mode == "SFT" and probability > 0:
            training = data.joined(training, probability, rng)
        data.write_rows(training, folder / "train.jsonl")
        if held_out:
            data.write_rows(held_out, folder / "eval.jsonl")
        spec = TrainSpec(
            engine=self.options.engine,
            mode=mode,
            scale=scale,
            model=task.model,
            base=self.options.base_of(task.model),
            checkpoint=self._checkpoint_to_go_on_from(task),
            train_file=folder / "train.jsonl",
            eval_file=folder / "eval.jsonl" if held_out else None,
            folder=folder,
            hyper_parameters=parameters,
            defaults=defaults,
            strict=self.options.strict,
            command=self.options.command,
        )
        (folder / "spec.json").write_text(spec.model_dump_json(indent=1), "utf-8")

    def _rows(self, task: Task, mode: Mode, rng: random.Random) -> list[Row]:
        entry = catalogue.model_named(task.model)
        template = needed_for(task.train_mode, entry["modelType"] if entry else "text2text")
        if template is None:
            raise EngineError("no_mode", f"{task.model} has no train mode {task.train_mode}")
        found: list[Row] = []
        for source, rate in zip(task.sources, task.rates, strict=True):
            with self._account.lock:
                blob = self._account.blob_of(source)
            found += data.repeated([*data.rows_of(source.name, blob.read(), template, mode)], rate, rng)
        return found

    def _checkpoint_to_go_on_from(self, task: Task) -> Path | None:
        with self._account.lock:
            base = self._account.tasks.get(task.base_task_id)
        if base is None:
            return None
        checkpoint = self._record(base).checkpoint_at(task.base_step)
        if checkpoint is None:
            raise EngineError("no_checkpoint", f"there is no checkpoint of {base.id} to go on from")
        return self._record(base).place_of(checkpoint)

    # --- what a training tells --------------------------------------------------------------------------------------

    def share(self, task: Task) -> float:
        return 1.0 if task.state == "Done" else self._record(task).share

    def kept_steps(self, task: Task) -> Sequence[int]:
        return [checkpoint.step for checkpoint in self._record(task).kept]

    def checkpoints(self, task: Task) -> list[JSON]:
        return self._record(task).checkpoint_list

    def metrics(self, task: Task) -> dict[str, str] | None:
        return self._record(task).percentages

    def curve(self, task: Task) -> Curve:
        return self._record(task).curve

    def about(self, task: Task) -> dict[str, JSON] | None:
        base = self.options.base_of(task.model)
        about = self._record(task).about(str(base) if base else "a model from scratch")
        about["engine"] = about["engine"] or self.options.engine
        about["notes"] = [*_notes_on(task), *about.get("notes", ())]
        return about

    # --- models ---------------------------------------------------------------------------------------------------

    def start_publishing(self, model: Model) -> None:
        model.state = PUBLISH.underway[0]
        self._loop.start_soon(self._publish, model)

    def look_at_publishing(self, model: Model, *, look: bool) -> None: ...

    async def _publish(self, model: Model) -> None:
        try:
            problem = await self._publish_now(model)
        except Exception as error:
            self._publish_ended(model, f"it could not be supervised: {error}")
            raise
        self._publish_ended(model, problem)

    async def _publish_now(self, model: Model) -> str:
        """Make a model's folder of its task's checkpoint; what was wrong, "" when it went well."""
        if model.source_type == "Import":
            return "an imported model cannot be run here; use the engine 'scripted' to work without its weights"
        with self._account.lock:
            task = self._account.tasks.get(model.task_id)
        training = self._record(task) if task else None
        checkpoint = training.checkpoint_at(model.step) if training else None
        if task is None or training is None or checkpoint is None:
            return "the training kept no checkpoint of this step"
        into = self.model_folder(model)
        spec = PublishSpec(
            engine=training.started.engine if training.started else self.options.engine,
            checkpoint=training.place_of(checkpoint),
            into=into,
            model=task.model,
            base=self.options.base_of(task.model),
            command=self.options.command,
        )
        log, record = into.with_suffix(".log"), TrainingRecord(into.with_suffix(".jsonl"))
        await anyio.Path(into.parent).mkdir(parents=True, exist_ok=True)
        await anyio.Path(into.with_suffix(".json")).write_text(spec.model_dump_json(indent=1), "utf-8")
        end = await supervise(
            worker_command("publish", into.with_suffix(".json")),
            told=record.tell,
            stop=anyio.Event(),
            environment=self._environment,
            log=log,
            silence=self.options.silence,
            grace=self.options.grace,
        )
        return "" if end.code == 0 else _why(record, end, log, self.options.silence)

    def _publish_ended(self, model: Model, problem: str) -> None:
        with self._account.lock:
            if model.state not in PUBLISH.underway:
                return
            model.state, model.reason = PUBLISH.move(model.state, "Fail" if problem else "Ready"), problem
            self._account.touch()
        self._save()

    def weights(self, model: Model) -> Path | None:
        folder = self.model_folder(model)
        return folder if folder.is_dir() else None

    # --- services --------------------------------------------------------------------------------------------------

    def start_deployment(self, service: Service) -> None:
        if service.state != "Deploying":
            service.state = DEPLOY.move(service.state, "Deploying")
        service.reason = ""
        model_id = service.model_id

        def ready(problem: str) -> None:
            with self._account.lock:
                if service.state != "Deploying" or service.model_id != model_id:
                    return
                service.state = DEPLOY.move(service.state, "Failed" if problem else "Serving")
                service.reason = problem
                self._account.touch()
            self._save()

        model = self._account.models.get(model_id)
        addressed = self._address_of(model)
        if addressed is not None:
            self._loop.start_soon(addressed.prepare, ready)
        elif model is not None:
            self._generators.prepare(self.model_folder(model), ready)

    def look_at_deployment(self, service: Service, *, look: bool) -> None: ...

    async def ask(self, service: Service, messages: Sequence[Message], sampling: Sampling) -> Reply:
        with self._account.lock:
            model = self._account.models.get(service.model_id)
            addressed = self._address_of(model)
        if model is None:
            raise broken(f"the model {service.model_id} is gone")
        if addressed is not None:
            return await addressed.ask(messages, sampling)
        return await self._generators.ask(self.model_folder(model), messages, sampling)

    def _address_of(self, model: Model | None) -> Addressed | None:
        task = self._account.tasks.get(model.task_id) if model else None
        address = self.options.address_of(task.model) if task else None
        return Addressed(address) if address else None

    # --- where things lie -------------------------------------------------------------------------------------------

    @property
    def place(self) -> Path:
        """The folder of trainings and models."""
        if self._given_place is not None:
            return self._given_place
        with self._placing:
            if self._temporary is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="qianfan-training-", ignore_cleanup_errors=True)
            return Path(self._temporary.name)

    def folder_of(self, task: Task) -> Path:
        """The folder of a training."""
        return self.place / "tasks" / task.id

    def model_folder(self, model: Model) -> Path:
        """The folder of a published model; a compressed one answers with what it was made of."""
        return self.place / "models" / (model.weights_id or model.id)

    def _record(self, task: Task) -> TrainingRecord:
        path = self.folder_of(task) / "events.jsonl"
        # Who looks at a task and who trains it must have the same record, whoever comes first.
        with self._recording:
            record = self._records.get(task.id)
            if record is None:
                record = self._records[task.id] = TrainingRecord(path)
            return record

    # --- the ends ---------------------------------------------------------------------------------------------------

    def forget(self, record: Task | Model) -> None:
        if isinstance(record, Task):
            self._records.pop(record.id, None)
            _remove(self.folder_of(record))
            return
        folder = self.model_folder(record)
        if any(self.model_folder(model) == folder for model in self._account.models):
            return
        self._generators.end(folder)
        _remove(folder)

    def resume(self) -> None:
        account = self._account
        with account.lock:
            for task in account.tasks:
                self._resume_training(task)
            for model in account.models:
                if model.state in PUBLISH.underway:
                    _remove(self.model_folder(model))
                    self._loop.start_soon(self._publish, model)
            for service in account.services:
                # New means that it is not paid for; what is paid for moves on at once.
                if service.state == "Deploying" or (service.state == "New" and service.work is not None):
                    self.start_deployment(service)
                elif service.state == "Serving":
                    self._check_that_it_answers(service)

    def _check_that_it_answers(self, service: Service) -> None:
        """A service without a model, as after scripted trainings in the same folder, does not look as if it served."""
        model = self._account.models.get(service.model_id)
        if self._address_of(model) is None and (model is None or not self.model_folder(model).is_dir()):
            service.state = DEPLOY.move(service.state, "Stopped")
            service.reason = "there is no trained model behind it; deploy one that was trained here"
            self._account.touch()

    def _resume_training(self, task: Task) -> None:
        """What was cut off has failed; what only waited for its turn waits again."""
        if task.state in TRAINING.ends:
            return
        if self._record(task).started is None and task.state == "Waiting":
            self._stops[task.id] = _Stop()
            self._loop.start_soon(self._train, task)
            return
        task.state, task.reason = TRAINING.move(task.state, "Failed"), "the emulator ended while it was trained"
        task.finished = self._account.now()
        self._account.touch()

    def clear(self) -> None:
        self._records.clear()
        self._generators.end_all()
        stops = list(self._stops.values())
        for stop in stops:
            self._loop.call_soon(stop.utter)
        left = [folder for kind in ("tasks", "models") for folder in (self.place / kind).glob("*")]
        if left:
            self._loop.start_soon(self._sweep, left, stops)

    async def _sweep(self, left: list[Path], stops: list[_Stop]) -> None:
        """Remove what belonged to records that are gone, once nobody writes to it any more."""
        for stop in stops:
            if stop.over is not None:
                await stop.over.wait()
        for path in left:
            await anyio.to_thread.run_sync(_remove, path)

    def close(self) -> None:
        self._loop.close()
        self._turn = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


_MODES: dict[str, Mode] = {mode: mode for mode in MODES}
_SCALES: dict[str, Scale] = {scale: scale for scale in SCALES}


def _mode_of(task: Task) -> Mode:
    """Raises EngineError for what no engine trains."""
    mode = _MODES.get(task.train_mode)
    entry = catalogue.model_named(task.model)
    if mode is None or entry is None or entry["modelType"] != "text2text":
        raise EngineError("no_mode", f"no engine trains {task.model} by {task.train_mode}; they train text models")
    return mode


def _scale_of(task: Task) -> Scale:
    """Raises EngineError for one that no engine has. All relatives of LoRA are trained as LoRA."""
    wanted = "LoRA" if task.parameter_scale.startswith("LoRA") else task.parameter_scale
    scale = _SCALES.get(wanted)
    if scale is None:
        raise EngineError("no_scale", f"no engine has the scale {task.parameter_scale}")
    return scale


def _notes_on(task: Task) -> list[str]:
    """What of an order changes nothing here, in words for people."""
    notes: list[str] = []
    if task.parameter_scale.startswith("LoRA-"):
        notes.append(f"{task.parameter_scale} is trained as LoRA")
    if task.corpus_config:
        notes.append("corpusConfig: the platform's own corpora are not here; only the uploaded rows are learnt")
    if task.resource_config:
        notes.append("resourceConfig: it runs on this machine")
    return notes


def _hyper_parameters(task: Task) -> tuple[dict[str, JSON], dict[str, JSON]]:
    """(as asked for over the defaults, the defaults)."""
    defaults = catalogue.defaults(catalogue.limits_of(task.model, task.train_mode, task.parameter_scale))
    return {**defaults, **task.hyper_parameters}, defaults


def _why(record: TrainingRecord, end: End, log: Path, silence: float) -> str:
    """Why a child has failed, in words that say what to do where that is known."""
    if record.failed is not None:
        return _words(record.failed.message, record.failed.hint)
    if end.was_silent:
        return f"the trainer told nothing for {silence:g} s and was ended"
    if end.code == -signal.SIGKILL if hasattr(signal, "SIGKILL") else False:
        return "the system ended the trainer (out of memory?)"
    return last_lines(log) or f"the trainer ended with exit code {end.code}"


def _words(message: str, hint: str) -> str:
    return f"{message}. {hint}" if hint else message
