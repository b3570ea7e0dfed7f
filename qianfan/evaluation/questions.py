"""The questions that a model is asked, and who can be asked them."""

from __future__ import annotations

from qianfan.dataset.questions import Message, Question, questions_of
from qianfan.errors import InvalidArgumentError
from qianfan.model import Service, ServiceType

__all__ = ["Message", "Question", "check_kind", "questions_of"]


def check_kind(service: Service) -> None:
    """Refuse services whose answers are no texts. Raises InvalidArgumentError."""
    if service.service_type not in (ServiceType.Chat, ServiceType.Completion):
        raise InvalidArgumentError(
            f"{service!r} does not answer questions with texts; evaluate a Chat or a Completion service"
        )
