"""The way to a console call that has no method yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qianfan._transport import Call, Family, Reply, Safety
from qianfan.errors import InvalidArgumentError
from qianfan.resources._base import Resource
from qianfan.resources._documented import documented


class RawConsole(Resource):
    """Any call of the console, by its address."""

    async def call(
        self,
        route: str,
        action: str | None = None,
        params: Mapping[str, Any] | None = None,
        safety: Safety | None = None,
        confirm: bool = False,
    ) -> Reply:
        """Send a call. route: a path such as `/v2/finetuning`; action: the `Action` of V2; params: the body.

        safety: what repeating it may do. Left out, it is sent once, unless its name says that it only looks.
        confirm: True, exactly, is needed for what buys quota or compute units. Raises InvalidArgumentError without.
        """
        path = "/" + route.strip("/")
        first = path.startswith("/wenxinworkshop")
        family = Family.CONSOLE_V2 if not first else Family.CONSOLE_DATA if _is_data(path) else Family.CONSOLE_V1
        name = action or path.rpartition("/")[2]
        if path == "/v2/charge" and name.startswith(_BUYING) and confirm is not True:
            raise InvalidArgumentError(f"{name} buys something; give confirm=True to do that. Nothing was sent")
        # Nothing else is known of the call, so it may cost money: it is not repeated.
        known = safety or (Safety.READ if name.startswith("Describe") else Safety.PURCHASE)
        return await self._send(Call(name, family, known, path, action=action), params)


_BUYING = ("Purchase", "Resize", "AutoRelease")
_DATA_AREAS = ("dataset", "entity", "etl", "enhance", "prompt")


def _is_data(path: str) -> bool:
    return path.removeprefix("/wenxinworkshop/").partition("/")[0] in _DATA_AREAS


call_action, acall_action = documented(RawConsole.call, "base_url_route=route action params confirm")
