"""How a model call wants its tokens chosen, read from its body and checked."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator.checks import Body
from qianfan.emulator.refusals import RefusedInference
from qianfan.engines.spec import Sampling

_LARGEST_SEED = 2**63

_LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens")
"""What the most tokens of an answer are called: in V1, and in V2 by its newer and its older name."""


def sampling_of(body: Body) -> Sampling:
    """The likeliest tokens, unless the call asks for something else. Raises RefusedInference, which names the field."""
    return Sampling(
        temperature=_number(body, "temperature", 0.0, 2.0, default=0.0),
        top_p=_number(body, "top_p", 0.0, 1.0, default=1.0),
        max_tokens=next((most for name in _LIMITS if (most := _count(body, name)) is not None), None),
        stop=_stops(body.get("stop")),
        seed=_seed(body.get("seed")),
    )


def _number(body: Body, key: str, low: float, high: float, *, default: float) -> float:
    value = body.get(key)
    if value is None:
        return default
    # A comparison with NaN is false, so that is refused as well.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise RefusedInference(336003, f"{key} must be from {low:g} to {high:g}, found {value!r}")
    return float(value)


def _count(body: Body, key: str) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RefusedInference(336003, f"{key} must be a whole number from 1, found {value!r}")
    return min(value, 2**31)


def _stops(value: JSON) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RefusedInference(336003, f"stop must be a text or a list of texts, found {value!r}")
    return tuple(text for text in texts if text)


def _seed(value: JSON) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedInference(336003, f"seed must be a whole number, found {value!r}")
    return value % _LARGEST_SEED
