"""How many tokens a text has: estimated here, or counted by the platform."""

from __future__ import annotations

from typing import Any, Final, Literal

from qianfan._sync import run_sync
from qianfan._transport import Call, Client, Family, Safety
from qianfan.errors import InvalidArgumentError, RequestError
from qianfan.resources.llm.options import How, client_for, split
from qianfan.utils.tokens import estimate_tokens

_PLACE: Final = "tokenizer/erniebot"


class Tokenizer:
    """Counts tokens."""

    @classmethod
    async def acount_tokens(
        cls,
        text: str,
        mode: Literal["local", "remote"] = "local",
        model: str = "ernie-3.5-8k",
        *,
        client: Client | None = None,
        **kwargs: Any,
    ) -> int:
        """The tokens of a text.

        mode: "local" estimates, without a request and for all models alike; "remote" asks the platform about `model`.
        kwargs: as whom and how to ask, such as `ak`, `sk` and `request_timeout` (seconds).
        """
        if mode == "local":
            return estimate_tokens(text)
        if mode != "remote":
            raise InvalidArgumentError(f"mode={mode!r} is unknown; use 'local' or 'remote'")
        options, rest = split(kwargs)
        client = client_for(client, options)
        call = Call(_PLACE, Family.INFERENCE_V1, Safety.READ, f"{client.settings.model_api_prefix}/{_PLACE}")
        body = {"prompt": text, "model": model, **rest}
        reply = await client.call(call, body, **How.of(options).arguments(client, call))
        usage = reply.body.get("usage") if isinstance(reply.body, dict) else None
        count = usage.get("total_tokens") if isinstance(usage, dict) else None
        if not isinstance(count, int):
            raise RequestError(f"{_PLACE}: the answer tells no number of tokens", status_code=reply.status)
        return count

    @classmethod
    def count_tokens(
        cls,
        text: str,
        mode: Literal["local", "remote"] = "local",
        model: str = "ernie-3.5-8k",
        *,
        client: Client | None = None,
        **kwargs: Any,
    ) -> int:
        """Blocking form of `acount_tokens`; `mode="local"` waits for nothing."""
        if mode == "local":
            return estimate_tokens(text)
        return run_sync(cls.acount_tokens, text, mode, model, client=client, **kwargs)
