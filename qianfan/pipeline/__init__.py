"""The engine: actions, edges by type, events, cancellation. It knows nothing of any platform."""

from qianfan._retry import RetryPolicy
from qianfan.pipeline._action import Action, new_id
from qianfan.pipeline._adapter import BaseAction, with_event
from qianfan.pipeline._context import Context
from qianfan.pipeline._events import ActionState, Event, EventHandler, dispatch_event, event_being_handled
from qianfan.pipeline._ordering import Purchases
from qianfan.pipeline._pipeline import Pipeline, Results
from qianfan.pipeline._plan import Previous, plan
from qianfan.pipeline._purchases import Fenced, Mark, Purchase, Receipt, Terms
from qianfan.pipeline._record import Journal, Phase, Row, RunRecord, RunStatus
from qianfan.pipeline._run import Run, run, start

__all__ = [
    "Action",
    "ActionState",
    "BaseAction",
    "Context",
    "Event",
    "EventHandler",
    "Fenced",
    "Journal",
    "Mark",
    "Phase",
    "Pipeline",
    "Previous",
    "Purchase",
    "Purchases",
    "Receipt",
    "Results",
    "RetryPolicy",
    "Row",
    "Run",
    "RunRecord",
    "RunStatus",
    "Terms",
    "dispatch_event",
    "event_being_handled",
    "new_id",
    "plan",
    "run",
    "start",
    "with_event",
]
