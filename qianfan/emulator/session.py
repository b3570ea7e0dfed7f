"""`Emulator`: an emulated platform for the length of a `with` block."""

from __future__ import annotations

import itertools
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from qianfan import _local
from qianfan._clock import SYSTEM_CLOCK, Clock
from qianfan.emulator.account import Account, Keys
from qianfan.emulator.faults import Faults
from qianfan.emulator.handlers.evaluations import judge
from qianfan.emulator.late import Late
from qianfan.emulator.lifecycle import Stage
from qianfan.emulator.limits import EVERY
from qianfan.emulator.opening import BUCKET, check_keys, fresh_seed, polling_intervals, prepare
from qianfan.emulator.quirks import Quirks
from qianfan.emulator.record import Recorded
from qianfan.emulator.records import (
    Augmentation,
    BatchTask,
    Cleaning,
    CompTask,
    ComputeUnit,
    Dataset,
    Evaluation,
    Job,
    Model,
    ModelSet,
    Service,
    StoredObject,
    Task,
    TpmInstance,
)
from qianfan.emulator.sample import add_sample
from qianfan.emulator.training.options import engine_options
from qianfan.emulator.transport import InProcessTransport
from qianfan.emulator.works import Curve
from qianfan.errors import InvalidArgumentError, MissingExtraError

if TYPE_CHECKING:
    from qianfan.emulator.app import App

_numbers = itertools.count(1)


class Emulator:
    """A Qianfan platform inside this process.

    ```python
    with Emulator() as emulator:            # or: async with
        ...                                 # every client made here talks to it
    ```

    pace: of what is not computed: "instant" (no waiting), "demo" (a second or so for each step), or the seconds of a
        scripted training.
    engine: what trains, in a process of its own. "tiny" learns your rows by heart in seconds; "hf" trains a Hugging
        Face model; "command" runs an outside trainer; "scripted" simulates, for tests of clients: nothing is computed,
        and every answer says so. Left out, it is "hf" with `base`, "command" with `command`, else "tiny".
    base: the folder of a pretrained model that stands for the platform's models, or folders by model name.
    strict: use hyper-parameters as they are asked for, where "tiny" would calibrate them for a model from scratch.
    command: the outside trainer, as arguments; `{config}` stands for a configuration in LLaMA-Factory's keys.
    serve_at: an OpenAI-style address, or addresses by model name, that answer in place of deployed models.
    trainings_at_once: how many trainings run at the same time; the others are Waiting.
    silence: seconds without a sign of life after which a training is given up. idle: seconds without a question after
        which a deployed model leaves memory until the next one.
    access_key, secret_key: the account's keys; made up when left out. Signatures are checked against them.
    data_dir: a folder that keeps the state; a later emulator on it goes on where this one ended.
    activate: make it the default of all clients while the block lasts.
    seed: drives ids and simulated numbers; a different one each time when left out, so that no two platforms share ids.

    Raises InvalidArgumentError for a pace or an engine there is none of, options that do not go together, or half a
    pair of keys.
    """

    def __init__(
        self,
        pace: str | float = "instant",
        *,
        engine: str | None = None,
        base: str | Path | Mapping[str, str | Path] | None = None,
        strict: bool = False,
        command: Sequence[str] = (),
        serve_at: str | Mapping[str, str] | None = None,
        trainings_at_once: int = 1,
        silence: float = 60.0,
        idle: float = 300.0,
        access_key: str | None = None,
        secret_key: str | None = None,
        data_dir: str | Path | None = None,
        activate: bool = True,
        clock: Clock = SYSTEM_CLOCK,
        seed: int | None = None,
    ) -> None:
        self._options = engine_options(
            engine,
            base=base,
            strict=strict,
            command=command,
            serve_at=serve_at,
            at_once=trainings_at_once,
            silence=silence,
            idle=idle,
        )
        check_keys(access_key, secret_key)
        self.pace = pace
        self.base_url = f"http://emulator-{next(_numbers)}.qianfan.internal"
        self._activate = activate
        self._keys = Keys(
            access_key=access_key or f"ALTAK{secrets.token_hex(8)}",
            secret_key=secret_key or secrets.token_hex(16),
            ak=secrets.token_hex(12),
            sk=secrets.token_hex(16),
        )
        self._opened = prepare(
            pace=pace,
            options=self._options,
            keys=self._keys,
            data_dir=data_dir,
            clock=clock,
            seed=fresh_seed() if seed is None else seed,
        )
        self._account = self._opened.account
        self._platform = self._opened.platform
        self._stages = self._opened.stages
        self._local: _local.LocalPlatform | None = None
        self._data_dir = Path(data_dir) if data_dir is not None else None
        self._cache: tempfile.TemporaryDirectory[str] | None = None

    def __repr__(self) -> str:
        return f"Emulator(pace={self.pace!r}, engine={self.engine!r}, base_url={self.base_url!r})"

    @property
    def engine(self) -> str:
        """What trains."""
        return self._options.engine

    # --- the block -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._local is not None:
            raise InvalidArgumentError("this emulator is running already; make another one")
        self._opened.start()
        if self._data_dir is None:
            self._cache = tempfile.TemporaryDirectory(prefix="qianfan-emulator-")
        self._local = _local.LocalPlatform(self.base_url, self.transport, self.settings)
        _local.serve(self._local)
        if self._activate:
            _local.activate(self._local)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._local is not None:
            _local.withdraw(self._local)
            self._local = None
        self._opened.close()
        if self._cache is not None:
            self._cache.cleanup()
            self._cache = None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    # --- for clients ---------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a client needs to talk to this emulator, by setting name. Holds the keys: not for printing."""
        settings: dict[str, Any] = {
            "ACCESS_KEY": self._keys.access_key,
            "SECRET_KEY": self._keys.secret_key,
            "AK": self._keys.ak,
            "SK": self._keys.sk,
            "BOS_BUCKET": BUCKET,
        }
        for name in ("BASE_URL", "CONSOLE_API_BASE_URL", "IAM_BASE_URL", "BOS_BASE_URL"):
            settings[name] = self.base_url
        # What trainers keep lasts as long as the platform they ran on, and stays out of the user's own cache.
        cache = self._data_dir / "cache" if self._data_dir is not None else self._cache and Path(self._cache.name)
        settings |= {"CACHE_DIR": cache} if cache else {}
        return MappingProxyType(settings | polling_intervals(self.pace, self._options))

    def transport(self) -> InProcessTransport:
        """A transport for one httpx client."""
        return InProcessTransport(self._platform)

    @property
    def app(self) -> App:
        """The platform as an ASGI application. Raises MissingExtraError without the extra `emulator`."""
        try:
            from qianfan.emulator.app import App
        except ImportError as error:
            raise MissingExtraError("an ASGI application needs starlette: pip install 'qianfan[emulator]'") from error
        return App(self._platform)

    # --- what was asked ------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Recorded]:
        """The requests so far, oldest first."""
        return self._platform.log.recent()

    def count(self, name: str) -> int:
        """How often a call was made: "CreateFineTuningTask", "publishTrainModel", "dataset/info", "PutObject"."""
        return self._platform.log.count(name)

    @property
    def late(self) -> list[Late]:
        """What came of the requests that took effect late, as a fault ordered, in the order they did."""
        account = self._up_to_now()
        with account.lock:
            return list(self._platform.late.settled)

    # --- what there is -------------------------------------------------------------------------------------------

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        """Dataset versions by `ds-` id, as they are now."""
        return self._up_to_now().datasets.snapshot()

    @property
    def cleanings(self) -> Mapping[str, Cleaning]:
        """Cleanings of datasets by `etl-` id."""
        return self._up_to_now().cleanings.snapshot()

    @property
    def augmentations(self) -> Mapping[str, Augmentation]:
        """Augmentations of datasets by `enhance-` id."""
        return self._up_to_now().augmentations.snapshot()

    @property
    def jobs(self) -> Mapping[str, Job]:
        """Fine-tuning jobs by `job-` id."""
        return self._up_to_now().jobs.snapshot()

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Fine-tuning tasks by `task-` id."""
        return self._up_to_now().tasks.snapshot()

    @property
    def model_sets(self) -> Mapping[str, ModelSet]:
        """Model sets by `am-` id."""
        return self._up_to_now().model_sets.snapshot()

    @property
    def models(self) -> Mapping[str, Model]:
        """Model versions by `amv-` id."""
        return self._up_to_now().models.snapshot()

    @property
    def services(self) -> Mapping[str, Service]:
        """Services by `svco-` id."""
        return self._up_to_now().services.snapshot()

    @property
    def batches(self) -> Mapping[str, BatchTask]:
        """Batch inferences by `infer-` id."""
        return self._up_to_now().batches.snapshot()

    @property
    def evaluations(self) -> Mapping[str, Evaluation]:
        """Evaluations by `ame-` id."""
        return self._up_to_now().evaluations.snapshot()

    @property
    def compressions(self) -> Mapping[str, CompTask]:
        """Compressions of models by id."""
        return self._up_to_now().comp_tasks.snapshot()

    @property
    def compute_units(self) -> Mapping[str, ComputeUnit]:
        """The hardware that is bought and not given back, by instance id."""
        return self._up_to_now().units.snapshot()

    @property
    def tpm_instances(self) -> Mapping[str, TpmInstance]:
        """The quota that is bought and not given back, by instance id."""
        return self._up_to_now().tpm_instances.snapshot()

    @property
    def buckets(self) -> Mapping[str, Mapping[str, StoredObject]]:
        """Objects by bucket and key; `read_object` gives their content."""
        return self._up_to_now().buckets.snapshot()

    def read_object(self, bucket: str, key: str) -> bytes:
        """The content of a stored object. Raises KeyError when there is none."""
        with self._account.lock:
            return self._account.blob_of(self.buckets[bucket][key].source).read()

    def made(self, kind: str) -> int:
        """How many things of a kind ever came into being, those that are gone included; the sample is not counted.

        kind: "dataset", "job", "task", "model_set", "model", "service", "compression", "compute_unit",
        "tpm_instance", "batch_inference" or "evaluation". Raises InvalidArgumentError for another.
        """
        account = self._up_to_now()
        with account.lock:
            made = account.made()
        if kind not in made:
            raise InvalidArgumentError(f"kind is {kind!r}; use one of {', '.join(made)}")
        return made[kind]

    def _up_to_now(self) -> Account:
        """The account, with what was due by now in effect."""
        if self._platform.settle():
            self._opened.save()
        return self._account

    # --- driving it ----------------------------------------------------------------------------------------------

    @property
    def imports(self) -> Stage:
        """How dataset imports go."""
        return self._stages.imports

    def refuse(self, text: str, reason: str) -> None:
        """Have imports fail that hold this text, as the platform's review of contents does, until `reset`.

        text: as the file spells it. reason: what the error report says about each line that holds it.
        """
        with self._account.lock:
            self._account.refused[text] = reason

    @property
    def releases(self) -> Stage:
        """How dataset releases go."""
        return self._stages.releases

    @property
    def exports(self) -> Stage:
        """How dataset exports go."""
        return self._stages.exports

    @property
    def etl(self) -> Stage:
        """How cleanings of datasets go."""
        return self._stages.etl

    @property
    def augmentation(self) -> Stage:
        """How augmentations of datasets go."""
        return self._stages.augmentation

    @property
    def training(self) -> Stage:
        """How scripted trainings go."""
        return self._stages.training

    @property
    def publishing(self) -> Stage:
        """How the publishing of scripted models goes."""
        return self._stages.publishing

    @property
    def deployment(self) -> Stage:
        """How scripted deployments go."""
        return self._stages.deployment

    @property
    def compression(self) -> Stage:
        """How compressions go."""
        return self._stages.compression

    @property
    def batch_inference(self) -> Stage:
        """How batch inferences go. One ends well only when every row has its answer, however fast it is to go."""
        return self._stages.batches

    @property
    def evaluation(self) -> Stage:
        """How evaluations go. As with `batch_inference`, answers take the time that they take."""
        return self._stages.evaluations

    @property
    def evaluation_exports(self) -> Stage:
        """How exports of the answers of evaluations go."""
        return self._stages.evaluation_exports

    def judge(self, evaluation_id: str, score: int) -> None:
        """Play the people that a manual evaluation waits for: they give every answer this score, and it is Done.

        Raises KeyError when there is no such evaluation, InvalidArgumentError for one that waits for nobody, or for a
        score outside of its range.
        """
        account = self._up_to_now()
        with account.lock:
            judge(account, self.evaluations[evaluation_id], score)
        self._opened.save()

    @property
    def model_exports(self) -> Stage:
        """How exports of models go."""
        return self._stages.model_exports

    @property
    def faults(self) -> Faults:
        """Failures on order."""
        return self._platform.faults

    @property
    def quirks(self) -> Quirks:
        """Uncertain properties of the platform that can be switched. They outlast a `reset`."""
        return self._account.quirks

    def curve(self, task_id: str) -> Curve:
        """The losses of a training so far. Raises KeyError when there is no such task."""
        account = self._up_to_now()
        with account.lock:
            return account.works.curve(self.tasks[task_id])

    def expire_tokens(self) -> None:
        """Make every access and bearer token given out so far an expired one."""
        with self._account.lock:
            self._account.tokens.expire_all(self._account.now())

    def revoke_tokens(self) -> None:
        """Make every token and API key given out so far an unknown one."""
        with self._account.lock:
            self._account.tokens.revoke_all()

    def create_api_key(self) -> str:
        """A long-lived API key, as people make it in the console: a `bearer_token` for V2 model calls."""
        with self._account.lock:
            return self._account.tokens.new_api_key()

    def limit(self, model: str = EVERY, *, qps: int = 0, rpm: int = 0, tpm: int = 0) -> None:
        """Limit how many requests a second and a minute, and how many tokens a minute, a model takes.

        model: as either generation names it, or a service by its endpoint; "*" is each model. Answers tell of the
        limits in their headers. What is left out follows from the others: 60 requests a minute for one a second, and
        1000 tokens for a request. Nothing at all takes the limit away, and so does `reset`.
        """
        with self._account.lock:
            self._account.limits.set(model, qps=qps, rpm=rpm, tpm=tpm)

    def reset(self) -> None:
        """Forget scripts, faults, limits, recorded and late requests, and all the account has except the sample."""
        with self._account.lock:
            self._stages.reset()
            self._platform.faults.clear()
            self._platform.log.clear()
            self._platform.late.clear()
            self._account.clear()
            add_sample(self._account)
        self._opened.save()
