"""The platform's own list of trainable models, asked for rarely."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from qianfan._transport import Client
from qianfan.errors import MissingCredentialsError, QianfanError, describe
from qianfan.resources import Platform
from qianfan.trainer.catalog import Catalog
from qianfan.utils.logging import logger

FRESH_SECONDS = 7200.0
"""How long a list is good for; the platform changes it a few times a year."""

_known: WeakKeyDictionary[Client, tuple[float, Catalog]] = WeakKeyDictionary()


async def current_catalog(platform: Platform) -> Catalog:
    """The models and limits of this account; the built-in table when the platform does not tell."""
    client = platform.client
    now = client.clock.monotonic()
    known = _known.get(client)
    if known is not None and now - known[0] < FRESH_SECONDS:
        return known[1]
    try:
        catalog = Catalog.from_server(await platform.finetune.supported_models())
    except MissingCredentialsError:
        raise  # nothing else will work either
    except QianfanError as error:
        logger.warning("the list of trainable models cannot be had (%s); using the built-in one", describe(error))
        return Catalog.builtin()
    _known[client] = (now, catalog)
    return catalog
