"""Home of the event names."""

from qianfan.pipeline import Event, EventHandler, dispatch_event

__all__ = ["Event", "EventHandler", "dispatch_event"]
