"""One call by either face."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
import pytest

faces = pytest.mark.parametrize("face", ["sync", "async"])


async def ask(face: str, owner: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """What a method answers by a face; all pieces of a stream as a list. name: of the blocking form."""
    if face == "async":
        answer = await getattr(owner, "a" + name)(*args, **kwargs)
        return [piece async for piece in answer] if kwargs.get("stream") else answer

    def blocking() -> Any:
        answer = getattr(owner, name)(*args, **kwargs)
        return list(answer) if kwargs.get("stream") else answer

    return await anyio.to_thread.run_sync(blocking)
