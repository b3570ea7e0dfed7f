"""Handlers that wrap other handlers."""

from __future__ import annotations

from collections.abc import Awaitable

from qianfan.pipeline import Event, EventHandler
from qianfan.pipeline._events import consumer_of


class Filtered(EventHandler):
    """Passes on only the events of one action or pipeline."""

    def __init__(self, handler: EventHandler, action_id: str) -> None:
        self._handler = handler
        self._action_id = action_id
        self.consumer = f"{consumer_of(handler, 0)} of {action_id}"

    def dispatch(self, event: Event) -> Awaitable[None] | None:
        return self._handler.dispatch(event) if event.action_id == self._action_id else None
