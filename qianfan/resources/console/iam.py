"""Tokens of the account, for programs that get no keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pydantic import SecretStr

from qianfan._transport import Call, Family, Safety
from qianfan.errors import InvalidArgumentError
from qianfan.resources._base import Resource, WireModel, read
from qianfan.resources._documented import documented

CREATE_BEARER_TOKEN = Call("bearer token", Family.IAM, Safety.EFFECT, "/v1/BCE-BEARER/token", method="GET")

_SHORTEST, _LONGEST = 300, 2592000


class BearerToken(WireModel):
    """A short-lived token for V2 inference. status: `enable` or `disable`."""

    token: SecretStr
    user_id: str = ""
    status: str = ""
    create_time: datetime | None = None
    expire_time: datetime | None = None


class _Hidden(str):
    """A text that is what it is, but does not show when the answer around it is printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


class Iam(Resource):
    """Tokens of the account."""

    async def create_bearer_token(self, *, expire_in_seconds: int = 1000) -> BearerToken:
        """Make a bearer token for V2 inference that lives for 300 to 2592000 seconds.

        Whoever has it can ask models on the account's bill until it ends. Calls of this package make tokens of their
        own; this one is for others. Raises InvalidArgumentError for another lifetime.
        """
        if not _SHORTEST <= expire_in_seconds <= _LONGEST:
            raise InvalidArgumentError(
                f"expire_in_seconds={expire_in_seconds!r}: a bearer token lives for {_SHORTEST} to {_LONGEST} seconds"
            )
        reply = await self._client.call(
            CREATE_BEARER_TOKEN,
            query={"expireInSeconds": str(expire_in_seconds)},
            timeout=self._options.timeout,
            retries=self._client.retry_policy(CREATE_BEARER_TOKEN).model_copy(update=dict(self._options.retries)),
        )
        made = read(CREATE_BEARER_TOKEN, reply, BearerToken)
        hidden = replace(reply, body={**reply.body, "token": _Hidden(made.token.get_secret_value())})
        made._body = hidden.body
        if self._note is not None:
            self._note(CREATE_BEARER_TOKEN, {}, hidden)
        return made


class IAM:
    """Tokens of the account, by the documented names. They answer with the whole body, as `token` and more."""

    create_bearer_token, acreate_bearer_token = documented(Iam.create_bearer_token, "expire_in_seconds")
