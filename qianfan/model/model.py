"""Models: what a training run made, published as a version of a model set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qianfan._sync import run_sync
from qianfan._transport import Client
from qianfan.dataset.dataset import Dataset
from qianfan.errors import (
    APIError,
    AuthError,
    BatchInferenceFailedError,
    InternalError,
    InvalidArgumentError,
    ModelCompressFailedError,
    ModelPublishFailedError,
    QianfanError,
    ServiceDeployFailedError,
    TrainJobFailedError,
)
from qianfan.model.asking import dataset_of, questions_in
from qianfan.model.batching import Batch, answered, ordered, outputs_at, until_done
from qianfan.model.configs import DeployConfig
from qianfan.model.consts import ModelCompStrategy, ModelQuantizationWeight
from qianfan.model.service import Service
from qianfan.pipeline import Mark, Purchase, Purchases, Receipt
from qianfan.resources.console.consts import ModelCompTaskStatus, ModelState, TrainStatus
from qianfan.resources.platform import Platform
from qianfan.resources.purchase import labelled, lone_purchases, name_with, new_token
from qianfan.resources.schemas import CompTask, ModelVersion, Task
from qianfan.resources.waiting import Tell, silent, watch, word

_NAME_TAKEN = 70101
_ALREADY_PUBLISHED = 70118
_LONGEST_DESCRIPTION = 300
_COMPRESSING = ("", ModelCompTaskStatus.Creating, ModelCompTaskStatus.Running, ModelCompTaskStatus.Stopping)


class Model:
    """A model version, or a training run that is still to be published as one. Making one sends nothing.

    set_id: the model set (`am-…`). id, also `version_id`: the version (`amv-…`). Where `version_id` is given, `id`
    means the set, as in older code; an id that stands alone is told apart by its prefix.
    job_id, task_id: the run it comes from (`job-…`, `task-…`). name: of the model set.
    Ids may be numbers, as older code has them.
    """

    def __init__(
        self,
        set_id: str | int | None = None,
        id: str | int | None = None,
        *,
        version_id: str | int | None = None,
        task_id: str | int | None = None,
        job_id: str | int | None = None,
        name: str | None = None,
        client: Client | None = None,
    ) -> None:
        if version_id is not None and id is not None:
            set_id, id = id, version_id
        elif version_id is not None:
            id = version_id
        elif set_id is None and isinstance(id, str) and id.startswith("am-"):
            set_id, id = id, None
        elif id is None and isinstance(set_id, str) and set_id.startswith("amv-"):
            set_id, id = None, set_id
        self.set_id = set_id
        self.id = id
        self.task_id = task_id
        self.job_id = job_id
        self.name = name
        self.service: Service | None = None
        self._ordered: str | None = None
        self._purchases: Purchases | None = None
        self._batches: dict[str, Purchases] = {}
        self._compressions: dict[tuple[str, ...], Purchases] = {}
        self._platform = Platform(client)

    @property
    def version_id(self) -> str | int | None:
        """The version, `amv-…`; another name of `id`."""
        return self.id

    def __repr__(self) -> str:
        facts = {"set_id": self.set_id, "id": self.id, "job_id": self.job_id, "task_id": self.task_id}
        return f"Model({', '.join(f'{name}={value!r}' for name, value in facts.items() if value is not None)})"

    def _repr_html_(self) -> str:
        return f"<code>{self!r}</code>"

    # --- facts ----------------------------------------------------------------------------------------------

    async def adetail(self) -> ModelVersion:
        """What the platform knows about this version; one request."""
        if self.id is None:
            raise InvalidArgumentError(f"{self!r} has no version id; publish it or call auto_complete_info() first")
        return await self._platform.models.version_detail(self.id)

    async def aauto_complete_info(self) -> Model:
        """Fill in the ids that the platform can tell from the ones that are known."""
        if self.id is None and self.set_id is not None:
            # Only the first generation of the API knows sets by number.
            numbered = await self._platform.models.detail(int(self.set_id)) if _is_number(self.set_id) else None
            self.id = await self._first_version(numbered.set_id if numbered else str(self.set_id))
        if self.id is not None:
            detail = await self.adetail()
            self.set_id = detail.set_id or self.set_id
            self.id = detail.version_id or self.id
            self.name = detail.name or self.name
            self.job_id = detail.source.job_id or self.job_id
            self.task_id = detail.source.task_id or self.task_id
        return self

    def auto_complete_info(self) -> Model:
        """Blocking form of `aauto_complete_info`."""
        return run_sync(self.aauto_complete_info)

    async def aids(self) -> tuple[str, str]:
        """The set and the version, asked for where they are not known."""
        if any(id is None or _is_number(id) for id in (self.set_id, self.id)):
            await self.aauto_complete_info()
        if self.set_id is None or self.id is None:
            raise InvalidArgumentError(f"{self!r} is not published yet; call publish() first")
        return str(self.set_id), str(self.id)

    # --- publish --------------------------------------------------------------------------------------------

    async def apublish(
        self,
        name: str = "",
        *,
        step: int | None = None,
        tell: Tell = silent,
        purchases: Purchases | None = None,
    ) -> Model:
        """Publish the training run as a new model, and return once the version is ready.

        A model that already has a version is not published again, only waited for.
        name: of the new model set, unique in the account; generated when left out. step: the checkpoint, by default the
        last. tell: hears (description, what is known) while it is waited for. purchases: the orders of a run; without
        them an order of unknown fate is remembered as long as this object lives.

        Raises TrainJobFailedError when the run is not done, ModelPublishFailedError when publishing fails.
        """
        if self.id is None:
            await self._publish(name, step, purchases, tell)
        await self._until_ready(tell)
        return self

    def publish(self, name: str = "", *, step: int | None = None) -> Model:
        """Blocking form of `apublish`."""
        return run_sync(self.apublish, name, step=step)

    async def _publish(self, name: str, step: int | None, purchases: Purchases | None, tell: Tell) -> None:
        made = purchases.known("model") if purchases is not None else None
        if made is None:
            made = await self._order(name, step, purchases, tell)
        if made.id.startswith("am-"):  # a set whose version nobody has told yet
            self.set_id, self.id = made.id, await self._first_version(made.id)
        else:
            self.set_id, self.id = made.facts.get("set_id", self.set_id), made.id

    async def _order(self, name: str, step: int | None, purchases: Purchases | None, tell: Tell) -> Receipt:
        if self.task_id is None:
            raise InvalidArgumentError(f"{self!r} has neither a version nor a training task to publish")
        task = await self._until_trained(tell)
        self.job_id, self.task_id = task.job_id or self.job_id, task.task_id
        if purchases is None:
            purchases = self._purchases = self._purchases or self._lone(step)
        name = name or self.name or ""
        # A model of this name is ours if the name says so, or if this object ordered it; any other one is in the way.
        ordered_before = bool(name) and name == self._ordered

        def request(mark: Mark) -> dict[str, Any]:
            self.name = self._ordered = name or name_with(mark.token, f"m_{task.job_name}")
            return {"job_id": str(self.job_id), "task_id": str(self.task_id), "name": self.name, "step": step}

        async def create(request: Mapping[str, Any]) -> Receipt:
            published = await self._platform.models.publish(**request)
            return Receipt(published.version_id or published.set_id, {"set_id": published.set_id})

        def exists_already(error: Exception) -> bool:
            code = error.code if isinstance(error, APIError) else None
            return code == _ALREADY_PUBLISHED or (code == _NAME_TAKEN and (ordered_before or not name))

        return await purchases.ensure(
            Purchase(
                kind="model",
                request=request,
                create=create,
                find=lambda mark: self._find(str(self.name)),
                exists_already=exists_already,
            )
        )

    def _lone(self, step: int | None) -> Purchases:
        client = self._platform.client
        order = f"model of {self.job_id}/{self.task_id}/{step}"
        return lone_purchases(order, client.clock, client.settings.submit_settle_seconds)

    async def _first_version(self, set_id: str) -> str:
        try:
            found = await self._platform.models_v2.describe_set(set_id)
        except QianfanError as error:
            raise InternalError(f"model set {set_id!r} exists, but its version cannot be looked up: {error}") from error
        if not found.model_ids:
            raise InternalError(
                f"model set {set_id!r} was made, but holds no version yet; publishing again looks for it"
            )
        return found.model_ids[0]

    async def _until_trained(self, tell: Tell) -> Task:
        client = self._platform.client
        task = await watch(
            lambda: self._platform.finetune.describe_task(str(self.task_id)),
            until=lambda task: task.run_status not in ("", TrainStatus.Waiting, TrainStatus.Running),
            tell=lambda task: None,
            every=client.settings.train_status_polling_interval,
            client=client,
        )
        if task.run_status != TrainStatus.Done:
            status = word(task.run_status)
            raise TrainJobFailedError(
                f"task {task.task_id!r} of job {task.job_id!r} is {status!r}; only one that is Done can be published",
                job_id=task.job_id,
                task_id=task.task_id,
                status=status,
            )
        return task

    async def _find(self, name: str) -> list[Receipt]:
        """The model of this name, if it comes from our run."""
        try:
            found = await self._platform.models_v2.describe_set(name=name)
        except APIError as error:
            if error.retryable or isinstance(error, AuthError) or error.http_status in (401, 403):
                raise
            return []  # the platform has no code for "not found"
        for version_id in found.model_ids:
            detail = await self._platform.models.version_detail(version_id)
            if detail.source.task_id == str(self.task_id):
                return [Receipt(version_id, {"set_id": found.model_set_id})]
        return []

    async def _until_ready(self, tell: Tell) -> None:
        client = self._platform.client

        def is_over(detail: ModelVersion) -> bool:
            return detail.state not in ("", ModelState.Creating)

        def note(detail: ModelVersion) -> None:
            if not is_over(detail):
                tell(f"model {self.id} is {word(detail.state)}", detail.body)

        detail = await watch(
            self.adetail,
            until=is_over,
            tell=note,
            every=client.settings.model_publish_status_polling_interval,
            client=client,
        )
        if detail.state != ModelState.Ready:
            status = word(detail.state)
            raise ModelPublishFailedError(
                f"model {self.id!r} ended as {status!r} instead of 'Ready'"
                + (f": {detail.failure}" if detail.failure else ""),
                model_id=str(self.id),
                status=status,
            )
        self.set_id = detail.set_id or self.set_id
        self.name = detail.name or self.name

    # --- compress -------------------------------------------------------------------------------------------

    async def acompress(
        self,
        strategy: ModelCompStrategy | str,
        weight: ModelQuantizationWeight | str | None = None,
        *,
        tell: Tell = silent,
    ) -> Model:
        """Make a smaller version of this one in the same model set, and return it once it is ready.

        weight: the number format; needed for Quantization, and for nothing else.
        If waiting was cut short, a second call of the same object goes on waiting for the same compression; after one
        that failed it orders a new one. One that was ordered without a clear answer is looked for, not ordered again.
        tell: hears (description, what is known) while it is waited for.

        Raises InvalidArgumentError for a version that cannot be compressed, ModelCompressFailedError for a compression
        that fails or is stopped.
        """
        config = _compression(strategy, weight)
        key = tuple(config.values())
        _, model_id = await self.aids()
        task_id = await self._order_compression(config, self._compressions.get(key), key)
        detail = await self._until_compressed(task_id, tell)
        if detail.status != ModelCompTaskStatus.Succeeded or not detail.model_id:
            self._compressions.pop(key, None)
            status = word(detail.status)
            raise ModelCompressFailedError(
                f"compression {task_id!r} of model {model_id!r} ended as {status!r}"
                + ("" if detail.status != ModelCompTaskStatus.Succeeded else " and names no new version")
                + (f": {detail.failure}" if detail.failure else ""),
                model_id=model_id,
                task_id=task_id,
                status=status,
                reason=detail.failure,
            )
        made = Model(self.set_id, detail.model_id, client=self._platform.client)
        await made._until_ready(tell)
        return made

    def compress(self, strategy: ModelCompStrategy | str, weight: ModelQuantizationWeight | str | None = None) -> Model:
        """Blocking form of `acompress`."""
        return run_sync(self.acompress, strategy, weight)

    async def _order_compression(
        self, config: Mapping[str, str], purchases: Purchases | None, key: tuple[str, ...]
    ) -> str:
        set_id, model_id = await self.aids()
        models = self._platform.models_v2
        if purchases is None:
            if not (await models.describe_model(model_id)).is_support_model_comp:
                raise InvalidArgumentError(f"model {model_id!r} cannot be compressed (isSupportModelComp is not true)")
            client = self._platform.client
            order = f"compression of {model_id} {new_token()}"
            lone = lone_purchases(order, client.clock, client.settings.submit_settle_seconds)
            # Another call may have come as far as this meanwhile; both wait for one order then.
            purchases = self._compressions.setdefault(key, lone)

        def request(mark: Mark) -> dict[str, Any]:
            said = labelled(f"{' '.join(key)} of {model_id}", mark.label, _LONGEST_DESCRIPTION)
            return {
                "name": name_with(mark.token, f"c_{model_id}"),
                "source_model_id": model_id,
                "set_id": set_id,
                "config": dict(config),
                "description": said,
            }

        async def create(request: Mapping[str, Any]) -> Receipt:
            return Receipt(await models.create_comp_task(**request))

        async def find(mark: Mark) -> list[Receipt]:
            listed = [task async for task in models.comp_tasks(model_id)]
            mine = [task.task_id for task in listed if task.task_id and task.name == request(mark)["name"]]
            return [Receipt(task_id) for task_id in reversed(mine)]  # the oldest first

        def look_for(mark: Mark) -> str:
            return f"a compression {request(mark)['name']!r}"

        # Whether the platform takes money for it is not documented, so it is never ordered twice.
        return (await purchases.ensure(Purchase("compression", request, create, find, paid=True, look_for=look_for))).id

    async def _until_compressed(self, task_id: str, tell: Tell) -> CompTask:
        client = self._platform.client

        def note(detail: CompTask) -> None:
            if detail.status in _COMPRESSING:
                tell(f"compression {task_id} is {word(detail.status)}", detail.body)

        return await watch(
            lambda: self._platform.models_v2.describe_comp_task(task_id),
            until=lambda detail: detail.status not in _COMPRESSING,
            tell=note,
            every=client.settings.model_comp_status_polling_interval,
            client=client,
        )

    # --- deploy and ask -------------------------------------------------------------------------------------

    async def adeploy(self, deploy_config: DeployConfig, *, tell: Tell = silent) -> Service:
        """Deploy this version and return the service once it answers; a second call returns the first one's service,
        unless that was given back.

        A training run that is not published yet is published first. If waiting was cut short, a second call goes on
        waiting for the same deployment; after one that failed it orders a new one.
        """
        if self.service is not None and self.service.is_released:
            self.service = None
        if self.service is not None and self.service.endpoint is not None:
            return self.service
        if self.id is None and self.task_id is not None:
            await self.apublish(tell=tell)
        if self.service is None:
            self.service = Service(model=self, deploy_config=deploy_config, client=self._platform.client)
        try:
            return await self.service.adeploy(tell=tell)
        except ServiceDeployFailedError:
            self.service = None
            raise

    def deploy(self, deploy_config: DeployConfig) -> Service:
        """Blocking form of `adeploy`."""
        return run_sync(self.adeploy, deploy_config)

    async def aexec(self, input: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        """Ask the deployed service of this model; see `Service.aexec`."""
        return await self._deployed().aexec(input, **kwargs)

    def exec(self, input: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        """Blocking form of `aexec`."""
        return self._deployed().exec(input, **kwargs)

    def _deployed(self) -> Service:
        if self.service is None or self.service.endpoint is None:
            raise InvalidArgumentError(f"{self!r} is not deployed; call deploy(DeployConfig(...)) first")
        return self.service

    # --- answer a whole dataset -----------------------------------------------------------------------------

    async def abatch_inference(
        self,
        dataset: Dataset,
        *,
        bucket: str | None = None,
        tell: Tell = silent,
        purchases: Purchases | None = None,
        **params: Any,
    ) -> Dataset:
        """Have this version answer the last question of every row on the platform, and return the answers as a dataset.

        Nothing is deployed; every row is billed. The questions and the answers pass through a bucket of yours: that of
        the settings, unless `bucket` names another one. Further keywords are how the model is asked, such as
        `temperature=0.1`.
        If waiting was cut short, a second call of the same object with the same rows goes on waiting for the same batch
        inference; one that was ordered without a clear answer is looked for, not ordered again.
        tell: hears (description, what is known) while it is waited for. purchases: the orders of a run.

        The rows of the result have `input`, `reference` and `output`, in the order of the dataset, and `error` where a
        question got no answer.
        Raises BatchInferenceFailedError when the platform fails or somebody stops it.
        """
        _, model_id = await self.aids()
        platform = self._platform
        questions = await questions_in(dataset)
        batch = Batch.of(model_id, questions, params, platform, bucket)
        if purchases is None:
            client, order = platform.client, f"batch inference {new_token()}"
            lone = lone_purchases(order, client.clock, client.settings.submit_settle_seconds)
            purchases = self._batches.setdefault(batch.key, lone)
        task_id = await ordered(batch, platform, purchases)
        try:
            task = await until_done(task_id, platform, tell)
        except BatchInferenceFailedError:
            self._batches.pop(batch.key, None)
            raise
        rows = answered(questions, await outputs_at(task.output_uri, platform))
        self._batches.pop(batch.key, None)
        return dataset_of(rows, f"answers of {model_id}")

    def batch_inference(self, dataset: Dataset, *, bucket: str | None = None, **params: Any) -> Dataset:
        """Blocking form of `abatch_inference`."""
        return run_sync(self.abatch_inference, dataset, bucket=bucket, **params)

    # --- plain values ---------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What finds this model again, as JSON values."""
        return {
            "set_id": self.set_id,
            "id": self.id,
            "job_id": self.job_id,
            "task_id": self.task_id,
            "name": self.name,
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any], *, client: Client | None = None) -> Model:
        """The model that `to_dict` described."""
        return cls(**facts, client=client)


def _is_number(id: str | int) -> bool:
    """Whether an id is one of the numbers that older code uses."""
    return str(id).isdecimal()


def _compression(strategy: ModelCompStrategy | str, weight: ModelQuantizationWeight | str | None) -> dict[str, str]:
    """The wire's `config` of a compression. Raises InvalidArgumentError for what does not go together."""
    try:
        config = {"strategy": ModelCompStrategy(strategy).value}
        if weight is not None:
            config["weight"] = ModelQuantizationWeight(weight).value
    except ValueError as error:
        strategies, weights = ([one.value for one in kind] for kind in (ModelCompStrategy, ModelQuantizationWeight))
        raise InvalidArgumentError(f"{error}; strategies are {strategies}, weights are {weights}") from None
    is_quantized = config["strategy"] == ModelCompStrategy.Quantization
    if is_quantized != ("weight" in config):
        problem = "needs a weight" if is_quantized else "takes no weight"
        raise InvalidArgumentError(f"{config['strategy']} {problem}; weights are for Quantization alone")
    return config
