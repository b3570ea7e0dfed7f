"""What state a long piece of remote work is in, and how fast it moves on.

Theory of operation. The platform never tells that something has finished; a client looks again and again. So work
here moves on only when somebody looks, by one of two rules that whoever drives the emulator chooses:

* after N looks: the first N looks see it under way, the next one sees it ended. No clock is involved, so a test
  decides exactly what its client sees.
* after N seconds on the emulator's clock: for demonstrations, and for tests that drive a clock.

Each kind of work is a `LifeCycle`: a table of the moves its state may make. A move that is not in the table raises,
so neither a handler nor a script can bring an object into a state that the platform does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel

from qianfan._clock import Clock
from qianfan.errors import InvalidArgumentError


class IllegalMove(Exception):
    """A state change that the table of a life cycle does not allow."""


@dataclass(frozen=True)
class LifeCycle:
    """The states of one kind of object.

    moves: state -> the states it may move to; an end state moves nowhere.
    underway: the states of work that has been started, in the order they are passed.
    ends: how started work can end; the first one is success.
    """

    name: str
    moves: Mapping[str, frozenset[str]]
    underway: tuple[str, ...]
    ends: tuple[str, ...]

    def move(self, state: str, to: str) -> str:
        """The new state. Raises IllegalMove when the table does not have the move."""
        if to not in self.moves.get(state, frozenset()):
            raise IllegalMove(f"{self.name}: {state!r} cannot become {to!r}")
        return to


def _cycle(
    name: str, moves: Mapping[str, Iterable[str]], underway: tuple[str, ...], ends: tuple[str, ...]
) -> LifeCycle:
    return LifeCycle(name, {state: frozenset(to) for state, to in moves.items()}, underway, ends)


IMPORT = _cycle(
    "import",
    {
        "Created": {"Importing"},
        "Importing": {"ImportFinished", "ImportFailed", "ImportStopped"},
        "ImportFinished": {"Importing"},
        "ImportFailed": {"Importing"},
        "ImportStopped": {"Importing"},
    },
    underway=("Importing",),
    ends=("ImportFinished", "ImportFailed", "ImportStopped"),
)

RELEASE = _cycle(
    "release",
    {
        "Unpublished": {"Publishing"},
        "Publishing": {"Published", "PublishFailed"},
        "PublishFailed": {"Publishing"},
        "Published": (),
    },
    underway=("Publishing",),
    ends=("Published", "PublishFailed"),
)

EXPORT = _cycle(
    "export",
    {
        "NotExported": {"Exporting"},
        "Exporting": {"ExportFinished", "ExportFailed"},
        "ExportFinished": {"Exporting"},
        "ExportFailed": {"Exporting"},
    },
    underway=("Exporting",),
    ends=("ExportFinished", "ExportFailed"),
)

TRAINING = _cycle(
    "training",
    {
        "": {"Waiting", "Running"},
        "Waiting": {"Running", "Failed", "Stopped"},
        "Running": {"Done", "Failed", "Stopped"},
        "Done": (),
        "Failed": (),
        "Stopped": (),
    },
    underway=("Waiting", "Running"),
    ends=("Done", "Failed", "Stopped"),
)

PUBLISH = _cycle(
    "publish",
    {"Creating": {"Ready", "Fail"}, "Ready": (), "Fail": ()},
    underway=("Creating",),
    ends=("Ready", "Fail"),
)

DEPLOY = _cycle(
    "deploy",
    {
        # Stopped before it serves: its computing time was given back.
        "New": {"Deploying", "Failed", "Stopped"},
        "Deploying": {"Serving", "Failed", "Stopped"},
        "Serving": {"Deploying", "Stopped"},
        "Failed": (),
        "Stopped": {"Deploying", "Serving"},
    },
    underway=("New", "Deploying"),
    ends=("Serving", "Failed"),
)

ETL = _cycle(
    "etl",
    {
        "New": {"Running"},
        "Running": {"Finished", "Interrupted", "Failed", "Paused"},
        "Finished": (),
        "Interrupted": (),
        "Failed": (),
        # No call goes on with it, so that a script that ends here leaves it so.
        "Paused": (),
    },
    underway=("Running",),
    ends=("Finished", "Interrupted", "Failed", "Paused"),
)

AUGMENT = _cycle(
    "augmentation",
    {"New": {"Running"}, "Running": {"Done", "Failed"}, "Done": (), "Failed": ()},
    underway=("Running",),
    ends=("Done", "Failed"),
)

COMPRESS = _cycle(
    "compress",
    {
        "creating": {"running", "failed", "stopping"},
        "running": {"succeeded", "failed", "stopping"},
        "succeeded": (),
        "failed": (),
        "stopping": {"stopped"},
        "stopped": (),
    },
    underway=("creating", "running"),
    ends=("succeeded", "failed"),
)

# The platform does not document these states; they are the words it has for exports of datasets.
MODEL_EXPORT = _cycle("model export", EXPORT.moves, EXPORT.underway, EXPORT.ends)

BATCH = _cycle(
    "batch inference",
    {
        "Queuing": {"Running", "Stopping", "Failed", "Expired"},
        "Running": {"Done", "Stopping", "Failed", "Expired"},
        "Done": (),
        "Stopping": {"Stopped"},
        "Stopped": (),
        "Failed": (),
        "Expired": (),
    },
    underway=("Queuing", "Running"),
    ends=("Done", "Failed", "Expired"),
)

EVALUATION = _cycle(
    "evaluation",
    {
        "Pending": {"Doing", "Stopping", "Failed"},
        "Editing": {"Pending", "Doing"},
        "Doing": {"DoingWithManualBegin", "Done", "PartlyDone", "Failed", "Stopping"},
        "DoingWithManualBegin": {"Done", "Stopping"},
        "Done": (),
        "PartlyDone": (),
        "Failed": (),
        "Stopping": {"Stopped"},
        "Stopped": (),
    },
    underway=("Pending", "Doing"),
    ends=("Done", "PartlyDone", "Failed"),
)

EVALUATION_EXPORT = _cycle(
    "evaluation export",
    {"Pending": {"Uploading", "Fail"}, "Uploading": {"Done", "Fail"}, "Done": (), "Fail": ()},
    underway=("Pending", "Uploading"),
    ends=("Done", "Fail"),
)

LIFE_CYCLES = (
    IMPORT,
    RELEASE,
    EXPORT,
    ETL,
    AUGMENT,
    TRAINING,
    PUBLISH,
    DEPLOY,
    COMPRESS,
    MODEL_EXPORT,
    BATCH,
    EVALUATION,
    EVALUATION_EXPORT,
)


@dataclass(frozen=True)
class Pace:
    """How long work is under way: a number of looks, or seconds. Exactly one of the two is set.

    waits: looks that see the first of two states under way (Waiting, New) before the second.
    """

    after_looks: float | None = None
    seconds: float | None = None
    waits: int = 0


class Work(BaseModel):
    """One started piece of work, as far as it has come.

    started: seconds on the clock; looks: how often somebody looked; ends: the state it will end in.
    """

    after_looks: float | None = None
    seconds: float | None = None
    waits: int = 0
    ends: str
    reason: str = ""
    started: float = 0.0
    looks: int = 0

    def share(self, now: float) -> float:
        """How much of the work is done, from 0 to 1."""
        if self.seconds is not None:
            return 1.0 if self.seconds <= 0 else min(1.0, (now - self.started) / self.seconds)
        needed = self.after_looks or 0
        return min(1.0, self.looks / (needed + 1))

    def is_over(self, now: float) -> bool:
        """Whether the work has ended."""
        return self.share(now) >= 1.0

    def is_waiting(self, now: float) -> bool:
        """Whether the work still stands in the first of its two states under way."""
        if self.seconds is not None:
            return self.waits > 0 and self.share(now) < _WAITING_SHARE
        return self.waits > 0 and self.looks <= self.waits


_WAITING_SHARE = 0.1


@dataclass
class _Script:
    pace: Pace
    ends: str
    reason: str
    left: int | None


class Stage:
    """How future work of one kind will go; `script` changes it.

    computed: an engine does this work for real, so no script decides how it goes.

    Every piece of work takes its course from here when it is started, so a script never changes work under way.
    """

    def __init__(self, cycle: LifeCycle, pace: Pace, *, computed: bool = False) -> None:
        self.cycle = cycle
        self._usual = pace
        self._is_computed = computed
        self._script: _Script | None = None

    @property
    def is_by_looks(self) -> bool:
        """Whether this kind of work usually goes by looks, so that no clock is involved."""
        return self._usual.seconds is None

    def script(
        self,
        *,
        after_looks: float | None = None,
        seconds: float | None = None,
        waits: int | None = None,
        ends: str | None = None,
        reason: str = "",
        times: int | None = None,
    ) -> None:
        """Decide how work that is started from now on goes.

        after_looks: looks that see it under way; 0 ends it at the first look, `math.inf` never ends it.
        seconds: its length on the emulator's clock, in place of `after_looks`.
        waits: looks (or, with seconds, whether a tenth of the time) seen as Waiting or New first.
        ends: the state it ends in, for example "Failed"; left out: success.
        reason: what the platform says about a bad end.
        times: for the next so many pieces only; left out: for all.

        Raises InvalidArgumentError for a state this kind of work cannot end in, when both lengths are given, or when
        this work is computed.
        """
        if self._is_computed:
            raise InvalidArgumentError(
                f"{self.cycle.name} is computed here and goes as it goes; to script it, use the engine 'scripted'"
            )
        if after_looks is not None and seconds is not None:
            raise InvalidArgumentError(f"{self.cycle.name}: give after_looks or seconds, not both")
        if ends is not None and ends not in self.cycle.ends:
            raise InvalidArgumentError(f"{self.cycle.name} cannot end as {ends!r}; it ends as one of {self.cycle.ends}")
        pace = self._usual
        if after_looks is not None:
            pace = Pace(after_looks=after_looks)
        if seconds is not None:
            pace = Pace(seconds=seconds, waits=self._usual.waits)
        if waits is not None:
            pace = replace(pace, waits=waits)
        self._script = _Script(pace, ends or self.cycle.ends[0], reason, times)

    def reset(self) -> None:
        """Forget the script; work goes at the emulator's usual pace again, and ends well."""
        self._script = None

    def begin(self, clock: Clock, *, ends: str | None = None, reason: str = "") -> Work:
        """Start a piece of work. `ends` overrules the script: the work itself knows how it must end."""
        script = self._take()
        pace = script.pace if script else self._usual
        planned = script.ends if script else self.cycle.ends[0]
        told = script.reason if script else ""
        return Work(
            after_looks=pace.after_looks,
            seconds=pace.seconds,
            waits=pace.waits if len(self.cycle.underway) > 1 else 0,
            ends=ends or planned,
            reason=reason or told,
            started=clock.monotonic(),
        )

    def advance(self, state: str, work: Work | None, now: float, *, look: bool) -> str:
        """The state after a look at started work (`look=True`), or as it stands when only listed."""
        if work is None or state not in ("", *self.cycle.underway):
            return state
        if look:
            work.looks += 1
        for target in self._path(work, now):
            if target != state and target in self.cycle.moves[state]:
                state = self.cycle.move(state, target)
        return state

    def start(self, state: str, work: Work, now: float) -> str:
        """The state right after work was started. Clients take a state from before as an end, so it changes at once."""
        first = self.cycle.underway[0] if work.is_waiting(now) else self.cycle.underway[-1]
        return state if state == first else self.cycle.move(state, first)

    def _path(self, work: Work, now: float) -> tuple[str, ...]:
        if work.is_over(now):
            return (self.cycle.underway[-1], work.ends)
        if work.is_waiting(now):
            return ()
        return (self.cycle.underway[-1],)

    def _take(self) -> _Script | None:
        script = self._script
        if script is None or script.left is None:
            return script
        script.left -= 1
        if script.left <= 0:
            self._script = None
        return script


@dataclass(frozen=True)
class Stages:
    """All kinds of work of one emulator."""

    imports: Stage
    releases: Stage
    exports: Stage
    etl: Stage
    augmentation: Stage
    training: Stage
    publishing: Stage
    deployment: Stage
    compression: Stage
    model_exports: Stage
    batches: Stage
    evaluations: Stage
    evaluation_exports: Stage

    def reset(self) -> None:
        """Forget every script."""
        for stage in vars(self).values():
            stage.reset()


_DEMO = {
    "import": 0.5,
    "release": 0.5,
    "export": 0.5,
    "etl": 0.5,
    "augmentation": 0.5,
    "training": 5.0,
    "publish": 0.7,
    "deploy": 1.2,
    "compress": 2.0,
    "model export": 0.5,
    "batch inference": 1.0,
    "evaluation": 1.5,
    "evaluation export": 0.5,
}
"""Seconds of a demonstration: a whole run takes about eight."""

_INSTANT_TRAINING_LOOKS = 2


def stages_at(pace: str | float, *, computed: bool = False) -> Stages:
    """The usual pace of every kind of work. computed: an engine trains, publishes and deploys for real.

    pace: "instant" (no clock: training is seen running twice, everything else ends at the first look), "demo", or
    the seconds of one training, as a number or as text; everything else then takes a tenth of that.
    Raises InvalidArgumentError for anything else.
    """
    # Models that compute answer as fast as they can, and nothing is held up for show.
    answering, judging = (Pace(after_looks=0) if computed else _usual(pace, cycle) for cycle in (BATCH, EVALUATION))
    return Stages(
        imports=Stage(IMPORT, _usual(pace, IMPORT)),
        releases=Stage(RELEASE, _usual(pace, RELEASE)),
        exports=Stage(EXPORT, _usual(pace, EXPORT)),
        etl=Stage(ETL, _usual(pace, ETL)),
        augmentation=Stage(AUGMENT, _usual(pace, AUGMENT)),
        training=Stage(TRAINING, _usual(pace, TRAINING), computed=computed),
        publishing=Stage(PUBLISH, _usual(pace, PUBLISH), computed=computed),
        deployment=Stage(DEPLOY, _usual(pace, DEPLOY), computed=computed),
        compression=Stage(COMPRESS, _usual(pace, COMPRESS)),
        model_exports=Stage(MODEL_EXPORT, _usual(pace, MODEL_EXPORT)),
        batches=Stage(BATCH, answering),
        evaluations=Stage(EVALUATION, judging),
        evaluation_exports=Stage(EVALUATION_EXPORT, _usual(pace, EVALUATION_EXPORT)),
    )


def _usual(pace: str | float, cycle: LifeCycle) -> Pace:
    if pace == "instant":
        return Pace(after_looks=_INSTANT_TRAINING_LOOKS if cycle is TRAINING else 0)
    if pace == "demo":
        return Pace(seconds=_DEMO[cycle.name], waits=1)
    seconds = training_seconds(pace)
    return Pace(seconds=seconds if cycle is TRAINING else seconds / 10, waits=1)


def training_seconds(pace: str | float) -> float:
    """The seconds that a pace given as a number means. Raises InvalidArgumentError when it is no such number."""
    try:
        seconds = float(pace)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise InvalidArgumentError(
            f"pace is {pace!r}; use 'instant', 'demo' or the seconds of one training (0 or more)"
        )
    return seconds
