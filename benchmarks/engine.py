"""What does the engine add to an action, beside calling the same functions in a bare loop or in a task group?"""

from __future__ import annotations

import anyio

from benchmarks.measure import median_seconds
from qianfan.pipeline import Action, Pipeline, run

NODES = 200


class Step(Action[int]):
    async def run(self) -> int:
        await anyio.lowlevel.checkpoint()
        return 1


async def bare_loop() -> None:
    for _ in range(NODES):
        await anyio.lowlevel.checkpoint()


async def bare_group() -> None:
    async with anyio.create_task_group() as group:
        for _ in range(NODES):
            group.start_soon(anyio.lowlevel.checkpoint)


def main() -> None:
    chain = Pipeline([Step() for _ in range(NODES)])
    fan = Pipeline([Step() for _ in range(NODES)], overlap=True)
    loop = median_seconds(lambda: anyio.run(bare_loop))
    group = median_seconds(lambda: anyio.run(bare_group))
    chained = median_seconds(lambda: anyio.run(run, chain))
    fanned = median_seconds(lambda: anyio.run(run, fan))
    each = 1e6 / NODES
    print(f"{'awaited in a loop':<34} {loop * each:7.1f} µs a step")
    print(f"{'a chain of actions':<34} {chained * each:7.1f} µs a step ({chained / loop:.1f} times the loop)")
    print(f"{'tasks of one group':<34} {group * each:7.1f} µs a step")
    print(f"{'actions side by side':<34} {fanned * each:7.1f} µs a step ({fanned / group:.1f} times the group)")


if __name__ == "__main__":
    main()
