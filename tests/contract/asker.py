"""A process that asks a model until the rate limits hold it up, and prints how often it was answered.

`python -m tests.contract.asker FACE COUNT`: FACE is "threads", "asyncio" or "trio"; COUNT calls are made at once.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import anyio

from qianfan import ChatCompletion
from qianfan.errors import RequestTimeoutError

HELLO = [{"role": "user", "content": "one two three four five"}]


def chat() -> ChatCompletion:
    return ChatCompletion(version="2", model="ernie-speed-8k")


def ask(_: int) -> bool:
    try:
        return bool(chat().do(HELLO)["choices"])
    except RequestTimeoutError:
        return False


async def ask_together(count: int) -> int:
    answered = 0

    async def one() -> None:
        nonlocal answered
        with suppress(RequestTimeoutError):
            answer = await chat().ado(HELLO)
            answered += bool(answer["choices"])

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return answered


def main(face: str, count: int) -> int:
    if face == "threads":
        with ThreadPoolExecutor(count) as pool:
            return sum(pool.map(ask, range(count)))
    return anyio.run(ask_together, count, backend=face)


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2])))
