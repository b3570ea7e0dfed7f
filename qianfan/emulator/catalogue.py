"""What can be trained: models, modes, scales and the limits of their hyper-parameters, and the preset endpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from qianfan._types import JSON

DATA = Path(__file__).parent / "data"

OLDER_NAMES = {
    "ERNIE-Bot-turbo-0725": "ERNIE-Lite-8K-0725",
    "ERNIE-Bot-turbo-0922": "ERNIE-Lite-8K-0922",
    "ERNIE-Bot-turbo-0704": "ERNIE-Lite-8K-0704",
    "ERNIE-Speed": "ERNIE-Speed-8K",
    "Llama-2-7b": "Qianfan-Chinese-Llama-2-7B",
    "Llama-2-13b": "Qianfan-Chinese-Llama-2-13B-v2",
    "Qianfan-Chinese-Llama-2-13B": "Qianfan-Chinese-Llama-2-13B-v2",
    "Qianfan-Chinese-Llama-2-13B-v1": "Qianfan-Chinese-Llama-2-13B-v2",
    "Baichuan2-7B": "Baichuan2-7B-Chat",
    "Baichuan2-13B": "Baichuan2-13B-Chat",
}
"""Names that users still write -> the model that trains today."""

_SCALE_WORDS = {
    "ALL": "FullFineTuning",
    "P-tuning": "PromptTuning",
}
"""V1 spellings of a parameter scale that differ from V2's."""


@cache
def support_models() -> list[dict[str, JSON]]:
    """The answer of DescribeFineTuningSupportModels. Not to be changed."""
    models: list[dict[str, JSON]] = json.loads(
        (DATA / "support_models.json").read_text("utf-8"), object_hook=_described
    )
    return models


def _described(entry: dict[str, JSON]) -> dict[str, JSON]:
    """The platform describes each hyper-parameter in words, and clients in use read them; ours has their names only."""
    return {"description": entry["name"], **entry} if "checkType" in entry else entry


@cache
def preset_endpoints() -> Mapping[str, Mapping[str, str]]:
    """Kind of service -> model name -> endpoint of the services that exist without deploying anything."""
    endpoints: Mapping[str, Mapping[str, str]] = json.loads((DATA / "preset_endpoints.json").read_text("utf-8"))
    return endpoints


def preset_model_at(kind: str, endpoint: str) -> str | None:
    """The model behind a preset endpoint, None when there is none."""
    models = preset_endpoints().get(kind, {})
    return next((model for model, name in models.items() if name == endpoint), None)


_OTHER_V2_NAMES = {"bce-reranker-base": "bce-reranker-base_v1"}


def preset_model_named(model_id: str, kinds: Iterable[str]) -> str | None:
    """The preset model of some kinds with a V2 id: its V1 name in lower case with hyphens."""
    wanted = _OTHER_V2_NAMES.get(model_id.lower(), model_id.lower())
    for kind in kinds:
        for model in preset_endpoints()[kind]:
            if model.lower().replace(" ", "-") == wanted:
                return model
    return None


@cache
def _preset_limits() -> Mapping[str, tuple[int, int | None]]:
    limits: dict[str, list[int | None]] = json.loads((DATA / "preset_limits.json").read_text("utf-8"))
    return {model: (characters or 0, tokens) for model, (characters, tokens) in limits.items()}


def preset_limit(model: str) -> tuple[int, int | None] | None:
    """How much a preset chat model reads: characters, and tokens where there is a limit; None when it is not known."""
    return _preset_limits().get(model)


def model_named(name: str) -> dict[str, JSON] | None:
    """The entry of a model that can be trained, by today's name or an older one."""
    wanted = OLDER_NAMES.get(name, name)
    return next((entry for entry in support_models() if entry["model"] == wanted), None)


def modes_of(model: Mapping[str, JSON]) -> dict[str, dict[str, list[dict[str, JSON]]]]:
    """Train mode -> parameter scale -> limits of the hyper-parameters."""
    return {
        mode["trainMode"]: {
            scale["parameterScale"]: scale["supportHyperParameterConfig"] for scale in mode["supportParameterScale"]
        }
        for mode in model["supportTrainMode"]
    }


def limits_of(model: str, train_mode: str, scale: str) -> list[dict[str, JSON]]:
    """The limits of the hyper-parameters, empty for a combination that cannot be trained."""
    entry = model_named(model)
    return modes_of(entry).get(train_mode, {}).get(scale, []) if entry else []


def scale_named(word: str) -> str:
    """The V2 word of a parameter scale in either spelling."""
    return _SCALE_WORDS.get(word, word)


def bad_hyper_parameter(limits: list[dict[str, JSON]], config: Mapping[str, JSON]) -> tuple[str, str] | None:
    """The first hyper-parameter that is unknown or outside its limit, as (key, reason)."""
    by_key = {limit["key"]: limit for limit in limits}
    for key, value in config.items():
        limit = by_key.get(key)
        if limit is None:
            return key, f"{key} is not a hyper-parameter of this model, mode and scale"
        if not _fits(limit, value):
            return key, f"{key} is {value!r}, allowed are {limit['checkType']} {limit['checkValue']}"
    return None


def defaults(limits: list[dict[str, JSON]]) -> dict[str, JSON]:
    """The default of every hyper-parameter."""
    return {limit["key"]: limit["default"] for limit in limits}


def _fits(limit: Mapping[str, JSON], value: JSON) -> bool:
    allowed = limit["checkValue"]
    if limit["checkType"] == "mult_choice":
        return isinstance(value, list) and all(item in allowed for item in value)
    if limit["checkType"] == "choice":
        return value in allowed and not isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if not allowed[0] <= value <= allowed[-1]:
        return False
    return limit["type"] != "int" or value == int(value)
