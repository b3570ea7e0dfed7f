"""The rules for a paid create as a model that is searched whole: every order in which its steps can go wrong.

One run wants one task in a job of its own, and the platform knows no key that would make a repeated request harmless.
A state holds what the journal says, where the process is, what is on the way to the platform and what the platform
has. From each state every move that could come next is tried, breadth first, so that a trace to a fault is a shortest
one: a write, a request with its answer or without, a request that arrives late or never, a look, a tick, a crash.

Time goes in ticks. A request may take effect at any moment until `delay` ticks after it was sent, an effect may be
missing from lists for up to `lag` ticks. A crash loses what is in memory, the settle clock among it, and starts a
process that knows the journal alone. What has no part in doubling is left out: jobs are free and are simply there with
their generation, a refusal that proves that nothing happened leads back to the same send.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

OnAbsent = Literal["fence", "resubmit", "hold"]
Trace = tuple[str, ...]
Timed = tuple[int, int]
"""A generation, and the ticks that are left to something of it."""

_MOST_STATES = 20_000
_NOT_LOOKED = -1


class State(NamedTuple):
    """A moment of the run.

    phase, gen, retiring: the journal's row of the task.
    at: where the process is: "ready" to do what the row asks for, "sending" after its intent, "deleting" the job, then
    "refused" or "deleted"; or at an end, "done" or "held".
    clock: ticks since its first look, at most the settle time. crashes: how many may still come.
    sent, deletes: requests without an answer, with the ticks in which they may still take effect.
    tasks: what lives on the platform, with the ticks until lists show it.
    job: whether the job of this generation is there. The jobs of earlier ones are gone, or there would be no later one.
    """

    phase: Literal["started", "intent", "uncertain", "accepted"] = "started"
    gen: int = 0
    retiring: bool = False
    at: Literal["ready", "sending", "deleting", "refused", "deleted", "done", "held"] = "ready"
    clock: int = _NOT_LOOKED
    crashes: int = 0
    sent: tuple[Timed, ...] = ()
    deletes: tuple[Timed, ...] = ()
    tasks: tuple[Timed, ...] = ()
    job: bool = True

    @property
    def ended(self) -> bool:
        """Whether the process wants nothing more. What is on the way may still arrive."""
        return self.at in ("done", "held")

    @property
    def visible(self) -> bool:
        """Whether a list of the job's tasks shows one."""
        return self.job and (self.gen, 0) in self.tasks


Moves = Iterator[tuple[str, State]]
Came = dict[State, "tuple[str, State] | None"]
"""The move and the state by which each state was first reached."""


@dataclass(frozen=True)
class Exploration:
    """What can happen.

    states: how many there are. ends: the ends that are reached, "done" and "held", and how to get to each.
    two_live: how to get to two tasks that both live, None when nothing leads there; the search ends with it.
    lost: how a task can be removed that the run relies on, None when it cannot.
    stuck: how to get to a state from which no end can be reached, None when there is none.
    """

    states: int
    ends: dict[str, Trace]
    two_live: Trace | None
    lost: Trace | None
    stuck: Trace | None


def explore(
    *,
    settle: int,
    delay: int,
    lag: int,
    on_absent: OnAbsent,
    crashes: int = 1,
    delete_takes_tasks: bool = False,
    task_in_deleted_job: bool = False,
    max_generations: int = 3,
    mark: bool = True,
    delete_first: bool = False,
) -> Exploration:
    """Search everything that can happen.

    settle: ticks from the first look to the last one. delay: most ticks from a send to its effect. lag: most ticks from
    an effect to its place in lists. delete_takes_tasks, task_in_deleted_job: the platform has this property, in place
    of refusing. mark: whether the journal notes that a job is to be deleted. delete_first: whether a process that finds
    the mark deletes again before it looks.
    """
    rules = _Rules(
        settle, delay, lag, on_absent, delete_takes_tasks, task_in_deleted_job, max_generations, mark, delete_first
    )
    start = State(crashes=crashes)
    came: Came = {start: None}
    follows: dict[State, list[State]] = {}
    ends: dict[str, Trace] = {}
    lost: Trace | None = None
    queue = deque([start])
    while queue:
        state = queue.popleft()
        if len(state.tasks) > 1:
            return Exploration(len(came), ends, _trace(came, state), lost, None)
        if state.ended and state.at not in ends:
            ends[state.at] = _trace(came, state)
        if lost is None and state.at == "done" and not state.tasks:
            lost = _trace(came, state)
        follows[state] = []
        for move, following in rules.moves(state):
            follows[state].append(following)
            if following not in came:
                came[following] = move, state
                queue.append(following)
        if len(came) > _MOST_STATES:
            raise RuntimeError(f"more than {_MOST_STATES} states: choose smaller times")
    return Exploration(len(came), ends, None, lost, _stuck(came, follows))


@dataclass(frozen=True)
class _Rules:
    settle: int
    delay: int
    lag: int
    on_absent: OnAbsent
    delete_takes_tasks: bool
    task_in_deleted_job: bool
    max_generations: int
    mark: bool
    delete_first: bool

    def moves(self, state: State) -> Moves:
        """What can happen next, with what comes of it."""
        yield from self._arrivals(state)
        if state.ended:
            return
        for move, following in self._steps(state):
            yield move, _forget_times(following) if following.ended else following
        yield "tick", self._later(state)
        if state.crashes:
            yield "crash", state._replace(at="ready", clock=_NOT_LOOKED, crashes=state.crashes - 1)

    # --- the process -------------------------------------------------------------------------------------------------

    def _steps(self, state: State) -> Moves:
        if state.at == "sending":
            yield from self._send(state)
        elif state.at == "deleting":
            yield from self._delete(state)
        elif state.at == "refused":
            # The job holds a task that lists do not show yet.
            if state.visible:
                yield "look: adopt", _accepted(state)
        elif state.at == "deleted":
            yield (
                "write the next generation",
                State(
                    gen=state.gen + 1, crashes=state.crashes, sent=state.sent, deletes=state.deletes, tasks=state.tasks
                ),
            )
        elif state.phase == "started":
            yield "write intent", state._replace(phase="intent", at="sending")
        elif state.retiring and self.delete_first:
            yield "delete again", state._replace(at="deleting")
        else:
            yield from self._look(state)

    def _send(self, state: State) -> Moves:
        for tasks in self._with_task(state, state.gen):
            yield "send: answered", _accepted(state._replace(tasks=tasks))
        sent = _sorted(*state.sent, (state.gen, self.delay))
        yield "send: no answer", state._replace(at="ready", clock=_NOT_LOOKED, sent=sent)

    def _look(self, state: State) -> Moves:
        if state.visible:
            yield "look: adopt", _accepted(state)
        elif not state.job:
            yield "look: no such job", self._not_found(state)
        elif max(state.clock, 0) < self.settle:
            yield "look: nothing yet", state._replace(clock=max(state.clock, 0))
        else:
            yield from self._absent(state)

    def _absent(self, state: State) -> Moves:
        state = state._replace(clock=_NOT_LOOKED)
        if self.on_absent == "resubmit":
            yield "settled: write intent again", state._replace(phase="intent", at="sending")
        elif self.on_absent == "fence" and state.gen + 1 < self.max_generations:
            yield "settled: mark", state._replace(phase="uncertain", retiring=self.mark, at="deleting")
        else:
            yield "settled: hold", state._replace(phase="uncertain", at="held")

    def _delete(self, state: State) -> Moves:
        after = self._deleted(state)
        if after.job:
            yield "delete: refused", after._replace(at="refused")
        elif state.job:
            yield "delete: answered", after._replace(at="deleted")
        else:
            yield "delete: no such job", self._not_found(after)
        deletes = _sorted(*{*state.deletes, (state.gen, self.delay)})
        yield "delete: no answer", state._replace(deletes=deletes)

    def _not_found(self, state: State) -> State:
        # Only the mark tells that it was us who deleted the job.
        return state._replace(at="deleted" if state.retiring else "held")

    # --- the platform ------------------------------------------------------------------------------------------------

    def _arrivals(self, state: State) -> Moves:
        for index, (gen, _) in enumerate(state.sent):
            rest = state._replace(sent=state.sent[:index] + state.sent[index + 1 :])
            if self.task_in_deleted_job or (state.job and gen == state.gen):
                for tasks in self._with_task(rest, gen):
                    yield f"request of generation {gen} takes effect", rest._replace(tasks=tasks)
            else:
                yield f"request of generation {gen} is rejected", rest
        for index, (gen, _) in enumerate(state.deletes):
            rest = state._replace(deletes=state.deletes[:index] + state.deletes[index + 1 :])
            yield f"delete of generation {gen} arrives", self._deleted(rest) if gen == state.gen else rest

    def _with_task(self, state: State, gen: int) -> Iterator[tuple[Timed, ...]]:
        for lag in range(1 if state.ended else self.lag + 1):
            yield _sorted(*state.tasks, (gen, lag))

    def _deleted(self, state: State) -> State:
        others = tuple(task for task in state.tasks if task[0] != state.gen)
        if not state.job or (others != state.tasks and not self.delete_takes_tasks):
            return state
        return state._replace(job=False, tasks=others)

    # --- time --------------------------------------------------------------------------------------------------------

    def _later(self, state: State) -> State:
        clock = state.clock if state.clock == _NOT_LOOKED else min(state.clock + 1, self.settle)
        return state._replace(
            clock=clock,
            sent=tuple((gen, left - 1) for gen, left in state.sent if left),
            deletes=tuple((gen, left - 1) for gen, left in state.deletes if left),
            tasks=_sorted(*((gen, max(left - 1, 0)) for gen, left in state.tasks)),
        )


def _accepted(state: State) -> State:
    return state._replace(phase="accepted", retiring=False, at="done")


def _forget_times(state: State) -> State:
    """An ended state without the numbers that no longer decide anything, so that many become one."""
    sent, deletes, tasks = (_sorted(*((gen, 0) for gen, _ in of)) for of in (state.sent, state.deletes, state.tasks))
    return state._replace(clock=_NOT_LOOKED, crashes=0, sent=sent, deletes=deletes, tasks=tasks)


def _sorted(*timed: Timed) -> tuple[Timed, ...]:
    return tuple(sorted(timed))


def _trace(came: Came, state: State) -> Trace:
    moves: list[str] = []
    while (step := came[state]) is not None:
        move, state = step
        moves.append(move)
    return tuple(reversed(moves))


def _stuck(came: Came, follows: dict[State, list[State]]) -> Trace | None:
    before: dict[State, list[State]] = {}
    for state, following in follows.items():
        for each in following:
            before.setdefault(each, []).append(state)
    saved = {state for state in follows if state.ended}
    queue = deque(saved)
    while queue:
        for state in before.get(queue.popleft(), []):
            if state not in saved:
                saved.add(state)
                queue.append(state)
    return next((_trace(came, state) for state in follows if state not in saved), None)
