"""Services: deployed models and preset ones, asked in one way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from typing_extensions import Self

from qianfan._sync import run_sync
from qianfan._transport import Client
from qianfan.dataset.dataset import Dataset
from qianfan.errors import (
    APIError,
    InternalError,
    InvalidArgumentError,
    QianfanError,
    RequestTimeoutError,
    ServiceDeployFailedError,
    describe,
)
from qianfan.model.asking import (
    AT_ONCE,
    OnProgress,
    PromptTemplate,
    answers_of,
    dataset_of,
    questions_in,
    rendered,
)
from qianfan.model.configs import DeployConfig
from qianfan.model.consts import ServiceType
from qianfan.pipeline import Mark, Purchase, Purchases, Receipt
from qianfan.resources.console.consts import ServiceStatus
from qianfan.resources.llm import ChatCompletion, Completion, Embedding, Text2Image
from qianfan.resources.platform import Platform
from qianfan.resources.purchase import labelled, lone_purchases, new_token
from qianfan.resources.schemas import ComputeUnit, ServiceDetail, ServiceMetric
from qianfan.resources.waiting import Tell, silent, watch, word
from qianfan.utils.logging import logger

if TYPE_CHECKING:
    from qianfan.model.model import Model

Inference: TypeAlias = ChatCompletion | Completion | Embedding | Text2Image

_RELEASE_MARGIN = 30.0
_RESOURCES: dict[ServiceType, type[ChatCompletion | Completion | Embedding | Text2Image]] = {
    ServiceType.Chat: ChatCompletion,
    ServiceType.Completion: Completion,
    ServiceType.Embedding: Embedding,
    ServiceType.Text2Image: Text2Image,
}


_BY_NAME = ("modelSetId", "modelId", "name", "urlSuffix")
"""Fields of the request that the call takes by name."""


class Service:
    """A deployed service, a preset model, or a deployment that is still to be made.

    id: `svco-…`, or the number of older code. endpoint: the last part of its address.
    model: the `Model` it serves, or the name of a preset model. Making one sends nothing.

    A deployment costs money by the hour until it is given back, by `release` or at the end of a `with` block:

    ```python
    with model.deploy(config) as service:  # or: async with await model.adeploy(config) as service
        service.exec({"messages": [...]})
    ```
    """

    release_patience: float | None = None
    """Seconds that giving it back may take at the end of a `with` block, where nothing else cuts it short.

    None: as long as an order of unknown fate may take to show up, and half a minute more.
    """

    def __init__(
        self,
        id: str | int | None = None,
        endpoint: str | None = None,
        model: Model | str | None = None,
        deploy_config: DeployConfig | None = None,
        service_type: ServiceType | str | None = None,
        *,
        client: Client | None = None,
    ) -> None:
        self.id = id
        self.endpoint = endpoint
        self.model = model
        self.deploy_config = deploy_config
        if service_type is None and deploy_config is not None:
            service_type = deploy_config.service_type
        self.service_type = _service_type(service_type)
        self._platform = Platform(client)
        self._purchases: Purchases | None = None
        self._purchase: Purchase | None = None
        self._is_released = False

    def __repr__(self) -> str:
        facts = {"id": self.id, "endpoint": self.endpoint, "service_type": self.service_type.value}
        if isinstance(self.model, str):
            facts["model"] = self.model
        return f"Service({', '.join(f'{name}={value!r}' for name, value in facts.items() if value is not None)})"

    # --- asking ---------------------------------------------------------------------------------------------

    def get_res(self) -> Inference:
        """The inference object behind this service: a ChatCompletion, Completion, Embedding or Text2Image."""
        resource = _RESOURCES[self.service_type]
        if self.endpoint is not None:
            return resource(endpoint=self.endpoint, client=self._platform.client)
        if isinstance(self.model, str):
            return resource(model=self.model, client=self._platform.client)
        if self._is_released:
            raise InvalidArgumentError(f"{self!r} was given back and cannot be asked any more; deploy its model again")
        raise InvalidArgumentError(f"{self!r} cannot be asked yet: deploy it, or give endpoint=... or a preset model")

    async def aexec(self, input: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        """Ask the service.

        input: by type, `{"messages": [...]}` (Chat), `{"prompt": ...}` (Completion, Text2Image), `{"texts": [...]}`
        (Embedding); further keywords are merged in. Returns a QfResponse, whose `["result"]` is the text; with
        `stream=True` an async iterator of them.
        """
        return await self.get_res().ado(**_request(input, kwargs))

    def exec(self, input: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        """Blocking form of `aexec`; `stream=True` gives a plain iterator."""
        return self.get_res().do(**_request(input, kwargs))

    async def abatch_inference(
        self,
        dataset: Dataset,
        prompt_template: PromptTemplate | None = None,
        system_prompt: str | None = None,
        *,
        at_once: int = AT_ONCE,
        on_progress: OnProgress | None = None,
        **kwargs: Any,
    ) -> Dataset:
        """Ask the last question of every row, with the turns before it, and return the answers as a dataset.

        prompt_template: a text with `{prompt}` in it, or a function of the question. system_prompt: told to the model
        beforehand, in place of the row's own. at_once: questions that are out at a time. on_progress: told (rows done,
        rows in all). Further keywords go into every question, such as `temperature=0.1`.

        The rows of the result have `input`, `reference` and `output`, and `error` where a question got no answer.
        Raises AuthError at once, and the first row's error when no row is answered.
        """
        asked = [rendered(one, prompt_template, system_prompt) for one in await questions_in(dataset)]
        rows = await answers_of(self, asked, kwargs, at_once=at_once, on_progress=on_progress)
        return dataset_of(rows, f"answers of {self.id or self.endpoint or self.model}")

    def batch_inference(
        self,
        dataset: Dataset,
        prompt_template: PromptTemplate | None = None,
        system_prompt: str | None = None,
        **kwargs: Any,
    ) -> Dataset:
        """Blocking form of `abatch_inference`."""
        return run_sync(self.abatch_inference, dataset, prompt_template, system_prompt, **kwargs)

    # --- the deployment -------------------------------------------------------------------------------------

    async def adetail(self) -> ServiceDetail:
        """What the platform knows about the deployment; one request."""
        if self.id is None:
            raise InvalidArgumentError(f"{self!r} has no id, so there is nothing to look up")
        return await self._platform.services.describe(str(self.id))

    async def astatus(self) -> str:
        """State of the deployment (`Serving` when it answers); one request."""
        return word((await self.adetail()).run_status)

    @property
    def status(self) -> str:
        """Blocking form of `astatus`."""
        return run_sync(self.astatus)

    async def adeploy(
        self,
        *,
        tell: Tell = silent,
        purchases: Purchases | None = None,
    ) -> Service:
        """Deploy the model of this service as its `deploy_config` says, and return once it answers.

        A service that already has an id is not deployed again, only waited for; one that was ordered without a clear
        answer is looked for before it is ordered again.
        tell: hears (description, what is known) while it is waited for. purchases: the orders of a run; without them an
        order of unknown fate is remembered as long as this object lives.
        Raises ServiceDeployFailedError when it ends in another state than Serving.
        """
        if self.id is None:
            known = purchases.known("service") if purchases is not None else None
            self.id = (known or await self._order(purchases)).id
        detail = await self._until_serving(tell)
        self.endpoint = detail.endpoint or None
        return self

    def deploy(self) -> Service:
        """Blocking form of `adeploy`."""
        return run_sync(self.adeploy)

    async def _order(self, purchases: Purchases | None) -> Receipt:
        config, model = self.deploy_config, self.model
        if config is None or model is None or isinstance(model, str):
            raise InvalidArgumentError("a service needs a Model and a DeployConfig before it can be deployed")
        set_id, model_id = await model.aids()
        stem = model.name or model_id
        if purchases is None:
            client = self._platform.client
            purchases = self._purchases = self._purchases or lone_purchases(
                f"service {new_token()}", client.clock, client.settings.submit_settle_seconds
            )

        def request(mark: Mark) -> dict[str, Any]:
            body = config.to_wire(
                model_set_id=set_id,
                model_id=model_id,
                name=config.service_name(stem, mark.token),
                url_suffix=config.url_suffix(stem, mark.token),
            )
            # A name of the user's own may be in use already; the label is this order's alone.
            return {**body, "description": labelled(str(body.get("description") or ""), mark.label)}

        async def create(body: Mapping[str, Any]) -> Receipt:
            logger.info("deploying model %s as service %r: buys %s", model_id, body["name"], config.purchase_terms())
            rest = {name: value for name, value in body.items() if name not in _BY_NAME}
            created = await self._platform.services.create(
                model_set_id=body["modelSetId"],
                model_id=body["modelId"],
                name=body["name"],
                url_suffix=body["urlSuffix"],
                extras=rest,
            )
            return Receipt(created.service_id)

        async def find(mark: Mark) -> list[Receipt]:
            named = await self._named(str(request(mark)["name"]))
            mine = [one for one in named if one.model_id == model_id and one.description.endswith(mark.label)]
            return [Receipt(one.service_id) for one in reversed(mine)]  # the oldest first

        def look_for(mark: Mark) -> str:
            return f"a service {request(mark)['name']!r}"

        # Kept so that `release` finds what an order cut short has made.
        self._purchase = Purchase("service", request, create, find, paid=True, look_for=look_for)
        return await purchases.ensure(self._purchase)

    async def _named(self, name: str) -> list[ServiceDetail]:
        """The account's services of exactly this name; the platform's own filter also matches parts of names."""
        return [service async for service in self._platform.services.all(name=name) if service.name == name]

    async def _until_serving(self, tell: Tell) -> ServiceDetail:
        settings = self._platform.client.settings

        def is_over(detail: ServiceDetail) -> bool:
            return detail.run_status not in ("", ServiceStatus.New, ServiceStatus.Deploying)

        def note(detail: ServiceDetail) -> None:
            if is_over(detail):
                return
            waiting = " (waiting for payment or for free machines)" if detail.run_status == ServiceStatus.New else ""
            tell(f"service {detail.service_id} is {word(detail.run_status)}{waiting}", detail.body)

        detail = await watch(
            self.adetail,
            until=is_over,
            tell=note,
            every=settings.deploy_status_polling_interval,
            client=self._platform.client,
        )
        if detail.run_status not in (ServiceStatus.Serving, ServiceStatus.Done):
            status = word(detail.run_status)
            raise ServiceDeployFailedError(
                f"service {detail.service_id!r} ended as {status!r} instead of 'Serving'"
                + (f": {detail.failure}" if detail.failure else ""),
                service_id=detail.service_id,
                status=status,
            )
        return detail

    # --- what it is used for ----------------------------------------------------------------------------------

    async def ametrics(
        self, start_time: str | datetime, end_time: str | datetime, *, app_id: str | None = None
    ) -> ServiceMetric:
        """How often the service was called in a span of time, and with how many tokens: `.total`, or by application.

        start_time, end_time: `2024-05-16T15:23:30Z`, or a datetime; one without a zone is in UTC.
        """
        if self.id is None:
            raise InvalidArgumentError(f"{self!r} has no id, so there is nothing to look up")
        service_id = str(self.id)
        found = await self._platform.services.metrics(start_time, end_time, service_ids=[service_id], app_id=app_id)
        mine = [one for one in found.service_list if one.service_id == service_id]
        return mine[0] if mine else ServiceMetric(service_id=service_id)

    def metrics(
        self, start_time: str | datetime, end_time: str | datetime, *, app_id: str | None = None
    ) -> ServiceMetric:
        """Blocking form of `ametrics`."""
        return run_sync(self.ametrics, start_time, end_time, app_id=app_id)

    # --- giving it back -------------------------------------------------------------------------------------

    @property
    def is_released(self) -> bool:
        """Whether this object gave the deployment back."""
        return self._is_released

    async def arelease(self) -> list[ComputeUnit]:
        """Give back the compute units of the deployment, so that it costs nothing more. Returns those given back.

        The service cannot be asked from then on. A second call finds nothing left and does no harm; a service without
        compute units, a preset one for example, is left as it is. A deployment whose order got no clear answer is
        looked for first.
        Every unit is tried before the error of one that could not be given back is raised.
        """
        service_id = await self._ordered_id()
        if service_id is None:
            return []
        released: list[ComputeUnit] = []
        failures: list[QianfanError] = []
        for unit in await self._platform.charges.describe_units(service_id):
            try:
                await self._release(service_id, unit)
            except QianfanError as error:
                failures.append(error)
            else:
                released.append(unit)
        if failures:
            raise failures[0]
        if released:
            self._is_released, self.endpoint = True, None
            logger.info("gave back %s of service %s", ", ".join(unit.instance_id for unit in released), service_id)
        else:
            if self._purchases is not None and (await self.astatus()) == ServiceStatus.Stopped:
                # Ordered by this object, and given back elsewhere.
                self._is_released, self.endpoint = True, None
            logger.info("service %s has no compute units to give back", service_id)
        return released

    def release(self) -> list[ComputeUnit]:
        """Blocking form of `arelease`."""
        return run_sync(self.arelease)

    async def _ordered_id(self) -> str | None:
        """The id of the deployment, also where an order was cut short before it could be noted."""
        if self.id is None and self._purchases is not None and self._purchase is not None:
            found = await self._purchases.recall(self._purchase)
            self.id = found.id if found is not None else None
        return str(self.id) if self.id is not None else None

    async def _release(self, service_id: str, unit: ComputeUnit) -> None:
        charges = self._platform.charges
        try:
            if await charges.release_unit(service_id, unit.instance_id):
                return
            raise InternalError(f"the platform did not take back {unit.instance_id!r} of service {service_id!r}")
        except (APIError, InternalError):
            # An attempt whose answer was lost may have had its effect, and then the next one is refused.
            left = await charges.describe_units(service_id)
            if unit.instance_id in [one.instance_id for one in left]:
                raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run_sync(self._leave, error)

    async def _leave(self, error: BaseException | None) -> None:
        """Give it back whatever happens: what is not given back goes on costing money."""
        problem: QianfanError | None = None
        # An order of unknown fate shows up within the settings' time, or it never arrived.
        seconds = self.release_patience
        if seconds is None:
            seconds = self._platform.client.settings.submit_settle_seconds + _RELEASE_MARGIN
        with anyio.move_on_after(seconds, shield=True) as patience:
            try:
                await self.arelease()
            except QianfanError as failure:
                problem = failure
        if patience.cancelled_caught:
            problem = RequestTimeoutError(f"giving back {self!r} took longer than {seconds:g} s")
        if problem is None:
            return
        logger.error("%r could not be given back and may go on costing money: %s", self, describe(problem))
        if error is None:
            raise problem

    # --- plain values ---------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What finds this service again, as JSON values."""
        model: Any = self.model
        return {
            "id": self.id,
            "endpoint": self.endpoint,
            "service_type": self.service_type.value,
            "model": model if model is None or isinstance(model, str) else model.to_dict(),
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any], *, client: Client | None = None) -> Service:
        """The service that `to_dict` described."""
        from qianfan.model.model import Model  # that module needs this one

        given: dict[str, Any] = dict(facts)
        if isinstance(given.get("model"), Mapping):
            given["model"] = Model.from_dict(given["model"], client=client)
        return cls(**given, client=client)


def _service_type(value: ServiceType | str | None) -> ServiceType:
    try:
        return ServiceType.Chat if value is None else ServiceType(value)
    except ValueError:
        choices = ", ".join(member.value for member in ServiceType)
        raise InvalidArgumentError(f"service_type must be one of {choices}, not {value!r}") from None


def _request(input: Mapping[str, Any] | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    if input is None:
        raise InvalidArgumentError('there is nothing to ask; give for example {"messages": [...]} or {"prompt": "..."}')
    return {**input, **kwargs}
