"""Preset models that are newer than this package's table: the console lists them, with their addresses."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

from qianfan._transport import Client, Safety
from qianfan.errors import QianfanError
from qianfan.resources._base import v1
from qianfan.utils.logging import logger

_LIST: Final = v1("/service/list", Safety.READ)
_FRESH: Final = 600.0

_seen: WeakKeyDictionary[Client, tuple[float, dict[tuple[str, str], str]]] = WeakKeyDictionary()
"""Client -> when it looked (monotonic seconds), and (kind, name in lower case) -> endpoint."""


async def endpoint_of(client: Client, kind: str, model: str) -> str | None:
    """The endpoint of a model that the console lists for everyone, None when there is none or nobody can ask.

    Needs the account's keys; asks once in ten minutes. A failure is logged: then the name counts as unknown.
    """
    if client.settings.access_key is None or client.settings.secret_key is None:
        return None
    seen = _seen.get(client)
    now = client.clock.monotonic()
    if seen is None or now - seen[0] > _FRESH:
        seen = _seen[client] = now, await _listed(client)
    return seen[1].get((kind, model.lower()))


async def _listed(client: Client) -> dict[tuple[str, str], str]:
    try:
        reply = await client.call(_LIST, {}, retries=None, timeout=client.settings.auth_timeout)
    except QianfanError as error:
        logger.info("the list of models cannot be had: %s", error)
        return {}
    rows = reply.result.get("common") if isinstance(reply.result, dict) else None
    found: dict[tuple[str, str], str] = {}
    for row in rows if isinstance(rows, list) else ():
        name, url = (row.get("name"), row.get("url")) if isinstance(row, dict) else (None, None)
        if isinstance(name, str) and isinstance(url, str) and url.count("/") >= 2:
            *_, kind, endpoint = url.rstrip("/").split("/")
            found[kind, name.lower()] = endpoint
    return found
