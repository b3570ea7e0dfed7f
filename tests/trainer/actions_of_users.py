"""Actions as users write them, in a module that another process can import."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from qianfan.pipeline import Action, BaseAction, Context, Previous
from qianfan.trainer import DeployedService, PublishedModel


class Note(Action[str]):
    """Writes down which model was published."""

    prefix: str = ""
    words: list[str] = Field(default_factory=list)

    async def run(self, model: PublishedModel, ctx: Context) -> str:
        ctx.report(f"{self.prefix}{model.model_id}")
        return f"{self.prefix}{model.model_id}{''.join(self.words)}"


class Announce(Action[str]):
    """Needs a deployment."""

    async def run(self, service: DeployedService) -> str:
        return service.service_id


class Last(Action[str]):
    """Takes whatever came before."""

    async def run(self, previous: Previous) -> str:
        return type(previous).__name__


class Older(BaseAction):
    """An old-style one with a setting."""

    def __init__(self, limit: int = 3, **settings: Any) -> None:
        super().__init__(**settings)
        self.limit = limit
        self._seen = 0

    def exec(self, input: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
        self._seen += 1
        return {"limit": self.limit, "ids": sorted(name for name in input or {} if name.endswith("_id"))}


class Bare(BaseAction):
    """An old-style one that was given an attribute, and whose constructor takes nothing."""

    def __init__(self) -> None:
        self.colour = "red"

    def exec(self, input: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
        return {"colour": self.colour}


class Picky(BaseAction):
    """An old-style one whose constructor does not take its attributes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.width = size


class Odd(Action[str]):
    """Has a field that is no JSON value."""

    thing: Any = None

    async def run(self, previous: Previous) -> str:
        return ""


class Lossy(Action[str]):
    """Has a field that does not come back from JSON as it was."""

    pair: Any = ()

    async def run(self, previous: Previous) -> str:
        return ""
