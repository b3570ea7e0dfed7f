"""Who answers questions that come in bulk: a model version, a deployed service, or a preset model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from qianfan._types import JSON
from qianfan.emulator import answers, catalogue, presets
from qianfan.emulator.account import Account
from qianfan.emulator.envelopes import answer_id
from qianfan.emulator.handlers.models import look_at_model, model_of, set_of
from qianfan.emulator.handlers.services import MODEL_PATH, look_at_service
from qianfan.emulator.records import Service
from qianfan.emulator.refusals import Problem, Refused, RefusedInference, invalid
from qianfan.engines.rows import Message
from qianfan.engines.spec import Sampling

_TEXT_KINDS = ("chat", "completions")


@dataclass(frozen=True)
class Answer:
    """What a model said. finish: "normal", or "length" where it was cut."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: str = "normal"

    def to_json(self, created: int) -> dict[str, JSON]:
        """As a model call of V1 answers. created: seconds since 1970."""
        return {
            "id": answer_id(),
            "object": "chat.completion",
            "created": created,
            "result": self.text,
            "is_truncated": self.finish == "length",
            "need_clear_history": False,
            "finish_reason": self.finish,
            "usage": {
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": self.completion_tokens,
                "total_tokens": self.prompt_tokens + self.completion_tokens,
            },
        }


@dataclass(frozen=True)
class Respondent:
    """One that answers. service: deployed, or standing for a model version; None for the preset model `name`."""

    name: str
    service: Service | None = None

    async def answer(self, account: Account, messages: Sequence[Message], sampling: Sampling) -> Answer:
        """Ask; the account must not be locked. Raises RefusedInference."""
        if self.service is None:
            whole = answers.said(lambda question: answers.canned(self.name, question), messages)
            text, reason = answers.limited(whole, sampling)
            asked = answers.count_tokens(" ".join(message.content for message in messages))
            return Answer(text, asked, answers.count_tokens(text), "length" if reason == "length" else "normal")
        reply = await account.works.ask(self.service, messages, sampling)
        text = "".join([piece async for piece in reply.pieces()])
        finish = "length" if reply.reason == "length" else "normal"
        return Answer(text, reply.prompt_tokens, reply.completion_tokens, finish)


def respondent_of_version(account: Account, key: JSON, field: str) -> Respondent:
    """A model version as somebody who answers without being deployed. The account must be locked.

    Refuses one that is not ready, or that does not answer with texts.
    """
    preset = presets.preset_version(key)
    if preset is not None:
        if preset.kind not in _TEXT_KINDS:
            raise invalid(field, f"{preset.name} does not answer with texts")
        return Respondent(preset.name)
    model = look_at_model(account, model_of(account, key, field), look=False)
    if model.state != "Ready":
        raise Refused(Problem.STATE, field, f"{model.id} is {model.state}, only Ready answers")
    model_set = set_of(account, model)
    if model_set.model_type != "Text2Text":
        raise invalid(field, f"{model.id} does not answer with texts")
    return Respondent(
        model_set.name,
        Service(
            id="",
            number=0,
            created=account.now(),
            name=model_set.name,
            model_set_id=model_set.id,
            model_id=model.id,
            url_suffix="",
            endpoint="",
            instance_id="",
            state="Serving",
        ),
    )


def respondent_at(account: Account, address: str, field: str) -> Respondent:
    """Who answers at the full address of a service. The account must be locked."""
    parts = urlsplit(address)
    if not parts.scheme or not parts.path.startswith(MODEL_PATH + "/"):
        raise invalid(field, f"{field} must be the full address of a service, found {address!r}")
    kind, _, endpoint = parts.path.removeprefix(MODEL_PATH + "/").partition("/")
    service = next((service for service in account.services if service.endpoint == endpoint), None)
    if service is not None:
        if look_at_service(account, service, look=False).state != "Serving":
            raise Refused(Problem.STATE, field, f"{service.id} is {service.state}, only Serving answers")
        return Respondent(service.name, service)
    preset = catalogue.preset_model_at(kind, endpoint) if kind in _TEXT_KINDS else None
    if preset is None:
        raise invalid(field, f"no service that answers with texts is at {address!r}")
    return Respondent(preset)


def refusal_to_json(refusal: RefusedInference) -> dict[str, JSON]:
    """A refused question, as a model call of V1 answers it."""
    return {"error_code": refusal.number, "error_msg": refusal.text, "id": answer_id()}
