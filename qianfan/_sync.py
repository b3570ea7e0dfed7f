"""The blocking face: every blocking method is one line that forwards through here.

One daemon thread runs one event loop (asyncio), started by the first call and shared by all of them, so blocking
calls work in scripts, in threads and inside a running loop such as a notebook's. No other module knows about threads.

Leaving after an interrupt takes about a second in all: what it gives the work to end is not given once more when the
process ends.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import queue
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, Generic, ParamSpec, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.from_thread import BlockingPortal
from anyio.lowlevel import RunVar
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

P = ParamSpec("P")
T = TypeVar("T")

INTERRUPT_PATIENCE = 1.0
"""Seconds that an interrupted call may take to tidy up before it leaves anyway."""

_DEAF = 0.2
"""Seconds that a wait may last without a look at signals: one that comes just when the thread falls asleep does not
wake it, and on Windows none does."""


# --- the background loop -------------------------------------------------------------------------------------------


class _Bridge:
    """The background loop: at most one, made on demand, forgotten in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._portal: BlockingPortal | None = None
        self._thread: threading.Thread | None = None
        self._given_up: list[tuple[threading.Event, float]] = []

    def portal(self) -> BlockingPortal:
        with self._lock:
            if self._portal is None or self._thread is None or not self._thread.is_alive():
                ready: Future[BlockingPortal] = Future()
                self._thread = threading.Thread(target=anyio.run, args=(_serve, ready), name="qianfan", daemon=True)
                self._thread.start()
                self._portal = ready.result()
            return self._portal

    def is_this_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def give_up(self, ended: threading.Event, leave_by: float) -> None:
        """Remember work that an interrupt did not wait for to the end.

        ended: set when it ends after all. leave_by: how long, in monotonic seconds, the process may still wait for it.
        """
        self._given_up = [(other, by) for other, by in [*self._given_up, (ended, leave_by)] if not other.is_set()]

    def _patience(self) -> float:
        latest = time.monotonic() + INTERRUPT_PATIENCE
        return min([by for ended, by in self._given_up if not ended.is_set()], default=latest) - time.monotonic()

    def close(self) -> None:
        """End the loop, cancelling what still runs in it. What does not end in time ends with the process."""
        with self._lock:
            portal, thread, self._portal, self._thread = self._portal, self._thread, None, None
        patience = self._patience()
        if portal is None or thread is None or not thread.is_alive() or patience <= 0:
            return
        with suppress(RuntimeError):
            portal.start_task_soon(portal.stop, True)
        thread.join(patience)

    def forget(self) -> None:
        # A forked child has the objects but not the thread, and the lock may be held by a thread that is gone.
        self.__init__()  # type: ignore[misc]  # starting over is exactly what a child needs


class _Helpers(ThreadPoolExecutor):
    """The loop's threads for calls that block, which are look-ups of host names above all.

    The end of a process waits for threads of the standard class, and a look-up without a network takes long. These
    end with the process.
    """

    _MOST = 32

    def __init__(self) -> None:
        super().__init__(self._MOST)
        self._starting = threading.Lock()
        self._started = 0
        self._idle = threading.Semaphore(0)
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self._calls.put((future, partial(fn, *args, **kwargs)))
        with self._starting:
            if not self._idle.acquire(blocking=False) and self._started < self._MOST:
                self._started += 1
                threading.Thread(target=self._work, name="qianfan-helper", daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            _fulfil(*self._calls.get())
            self._idle.release()


def _fulfil(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


async def _serve(ready: Future[BlockingPortal]) -> None:
    asyncio.get_running_loop().set_default_executor(_Helpers())
    async with BlockingPortal() as portal:
        ready.set_result(portal)
        await portal.sleep_until_stopped()


_bridge = _Bridge()
_at_exit: list[Callable[[], object]] = []


def at_exit(function: Callable[[], object]) -> None:
    """Have a function called when the process ends, after the background loop, whose last work may need it."""
    _at_exit.append(function)


@atexit.register
def _leave() -> None:
    _bridge.close()
    for function in _at_exit:
        function()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_bridge.forget)


def _portal() -> BlockingPortal:
    if _bridge.is_this_thread():
        raise RuntimeError(
            "a blocking qianfan call was made from an async function that qianfan itself is running; "
            "await the async form there (its name starts with 'a': arun, aexec, aload, …)"
        )
    return _bridge.portal()


def start_soon(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Run an async function on the background loop and return at once; cancelling the future cancels it."""

    async def call() -> T:
        return await function(*args, **kwargs)

    return _portal().start_task_soon(call)


class _Work(Generic[T]):
    """An async function for the background loop, and waiting for it.

    future: its result, from `start` on. bell: rings when there is a result; who else rings it ends `wait` as well.
    ended: set once the function has ended and tidied up, which a cancelled future does not wait for.

    The function begins with `wait`: an interrupt before that leaves nothing behind that somebody has to end.
    """

    future: Future[T]

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self._function = function
        self._wanted: Future[None] = Future()
        self.bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.ended = threading.Event()

    def start(self) -> None:
        self.future = _portal().start_task_soon(self._run)
        self.future.add_done_callback(lambda _: self.bell.put(None))

    async def _run(self) -> T:
        await asyncio.wrap_future(self._wanted)
        try:
            return await self._function()
        finally:
            self.ended.set()

    def wait(self) -> None:
        """Let the function begin, and wait until the bell rings."""
        self._wanted.set_result(None)
        while True:
            with suppress(queue.Empty):
                return self.bell.get(timeout=_DEAF)

    def wait_for_end(self, seconds: float) -> None:
        """Wait for its end for at most this long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.ended.wait(min(left, _DEAF)):
            pass

    @contextmanager
    def given_up(self) -> Generator[None]:
        """Wait for its end in this block; it is cancelled after that, and nobody waits for it any longer."""
        now = leave_by = time.monotonic()
        try:
            yield
            leave_by = now + INTERRUPT_PATIENCE
        finally:
            self.future.cancel()
            _bridge.give_up(self.ended, leave_by)


def run_sync(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run an async function on the background loop and wait for its result.

    Ctrl-C cancels it, waits up to a second for it to tidy up, and raises KeyboardInterrupt.
    """
    work = _Work(partial(function, *args, **kwargs))
    work.start()
    try:
        work.wait()
        return work.future.result()
    except (KeyboardInterrupt, SystemExit):
        with work.given_up():
            work.future.cancel()
            work.wait_for_end(_signals.patience(INTERRUPT_PATIENCE))
        raise


# --- interrupts ----------------------------------------------------------------------------------------------------


class Terminated(SystemExit):
    """The process was told to end (SIGTERM), or its terminal was closed (SIGHUP), while a blocking call waited.

    Nobody caught it: the process ends with the code that shells give to the signal, 143 or 129.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


def _interrupt(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)


_DEFAULTS: dict[int, Any] = {
    int(getattr(signal, name)): default
    for name, default in (
        ("SIGINT", signal.default_int_handler),
        ("SIGTERM", signal.SIG_DFL),
        ("SIGHUP", signal.SIG_DFL),  # not on Windows
    )
    if hasattr(signal, name)
}
"""The signals that interrupt, and what they do in a process that has not chosen anything else."""


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class _Signals:
    """What interrupts do while blocking calls wait in the main thread.

    The first one wakes the call that waits. A second one leaves at once, whatever the thread does. Only default
    handlers are replaced, for the time of the wait: an application that handles a signal, or ignores it as under
    nohup, goes on doing so.
    """

    def __init__(self) -> None:
        self._bells: list[queue.SimpleQueue[None]] = []
        self._replaced: list[int] = []
        self._pending: int | None = None
        self._leaving = self._hurried = False

    @contextmanager
    def heard(self, bell: queue.SimpleQueue[None]) -> Generator[None]:
        """Ring at the first interrupt while this block runs; `take` tells which it was.

        One that nobody has taken by the end of the block is raised there.
        """
        if not _in_main_thread():
            yield
            return
        # A call within a call, made by a signal handler of the application's, shares what is in place.
        self._bells.append(bell)
        try:
            self._replace()
            yield
        finally:
            self._bells = [other for other in self._bells if other is not bell]
            if not self._bells:
                self._restore()
                self._leaving = self._hurried = False
            late = self.take()
        if late is not None:
            raise _interrupt(late)

    def take(self) -> int | None:
        """The interrupt that rang the bell, if one did."""
        if not _in_main_thread():
            return None
        number, self._pending = self._pending, None
        return number

    def leave(self) -> None:
        """Answer to an interrupt from now on; whoever raised it, the next one is the second."""
        self._leaving = self._leaving or (_in_main_thread() and bool(self._bells))

    def patience(self, seconds: float) -> float:
        """How long to wait for the end of work that may take these seconds."""
        return 0 if self._hurried and _in_main_thread() else seconds

    def _replace(self) -> None:
        for number, default in _DEFAULTS.items():
            if signal.getsignal(number) == default:
                # Noted first, or an interrupt between the two would leave it in place.
                self._replaced.append(number)
                signal.signal(number, self._hear)

    def _restore(self) -> None:
        # Ctrl-C comes last: once it is restored, it may interrupt this.
        for number in reversed(self._replaced):
            if signal.getsignal(number) == self._hear:
                signal.signal(number, _DEFAULTS[number])
        self._replaced = []

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._leaving and self._bells:
            self._hurried = True
            self._restore()
            raise _interrupt(number)
        self._leaving = True
        self._pending = number
        if self._bells:
            # Of all that wakes a thread only this may be done by the same thread while it is falling asleep.
            self._bells[-1].put(None)

    def forget(self) -> None:
        """Behave as if nothing waited: in a forked child, nobody would answer."""
        self._restore()
        self.__init__()  # type: ignore[misc]


_signals = _Signals()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_signals.forget)


def run_interruptible(function: Callable[[], Awaitable[T]], on_interrupt: Callable[[], float]) -> T:
    """Like `run_sync`, for work that decides itself what an interrupt means.

    In the main thread, Ctrl-C, SIGTERM and SIGHUP (the terminal was closed) interrupt the wait, each unless the
    application handles or ignores it. Once the work has ended or had its time, KeyboardInterrupt or `Terminated` is
    raised. A second interrupt leaves at once.

    on_interrupt: called in the waiting thread at the first interrupt; it asks the work to end and answers how many
        seconds it may take. If it fails, the work is cancelled, and the error is the cause of what is raised.
    """
    work = _Work(function)
    with _signals.heard(work.bell):
        work.start()
        try:
            work.wait()
            if (number := _signals.take()) is None:
                return work.future.result()
            raise _interrupt(number)
        except (KeyboardInterrupt, SystemExit) as interrupt:
            _signals.leave()
            with work.given_up():
                failure = _ask_to_end(work, on_interrupt)
            if failure is not None:
                raise interrupt from failure
            raise


def _ask_to_end(work: _Work[Any], on_interrupt: Callable[[], float]) -> Exception | None:
    """Give the work its time to end; returns what was wrong with asking for it."""
    failure = None
    try:
        seconds = on_interrupt()
    except Exception as error:  # above all, the terminal that it tells what happens may be the one that was closed
        work.future.cancel()
        failure, seconds = error, INTERRUPT_PATIENCE
    work.wait_for_end(_signals.patience(seconds))
    return failure


# --- streams, threads and other loops --------------------------------------------------------------------------------


def iterate_sync(source: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
    """A blocking iterator over an async one. Closing it, or leaving the loop early, ends the source too.

    One task on the background loop drives the source from start to end, since cancel scopes inside it must be left
    by the task that entered them.
    """
    streams: tuple[MemoryObjectSendStream[T], MemoryObjectReceiveStream[T]]
    streams = anyio.create_memory_object_stream[T](0)
    send, receive = streams

    async def pump() -> None:
        async with send:
            async for item in source():
                await send.send(item)

    future = start_soon(pump)
    try:
        while True:
            try:
                yield run_sync(receive.receive)
            except anyio.EndOfStream:
                break
        future.result()
    finally:
        future.cancel()
        run_sync(receive.aclose)


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run a blocking function in a worker thread; a cancelled caller leaves it behind."""
    return await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=True)


def stop_if_cancelled() -> None:
    """End long work in a worker thread whose caller was cancelled, so that it is not left behind to go on.

    Raises the cancellation. Elsewhere than in such a thread nobody can cancel, and nothing happens.
    """
    with suppress(RuntimeError):
        anyio.from_thread.check_cancelled()


_user_threads: RunVar[anyio.CapacityLimiter] = RunVar("qianfan_user_threads")
_MOST_USER_THREADS = 256


async def in_user_thread(function: Callable[..., T], *args: Any) -> T:
    """Run a user's blocking code in a worker thread; a cancelled caller leaves it behind.

    It has threads apart from those of the library: code that waits for a blocking call of the library must not hold
    the very thread that the call needs.
    """
    try:
        limiter = _user_threads.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_MOST_USER_THREADS)
        _user_threads.set(limiter)
    return await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=True, limiter=limiter)


class LoopHandle:
    """The event loop and thread a piece of work runs on, for others that want to tell it something."""

    def __init__(self) -> None:
        self._token = anyio.lowlevel.current_token()
        self._thread_id = threading.get_ident()
        try:
            self._asyncio_loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._asyncio_loop = None

    async def acall(self, function: Callable[[], Awaitable[T]]) -> T:
        """Await an async function there, from a coroutine on any loop."""
        if threading.get_ident() == self._thread_id:
            return await function()

        async def call() -> T:
            return await function()

        return await in_thread(lambda: anyio.from_thread.run(call, token=self._token))

    def call(self, function: Callable[[], T]) -> T:
        """Call a function on that loop and return what it returned, from any thread."""
        if threading.get_ident() == self._thread_id:
            if self._asyncio_loop is not None:
                # A signal handler runs while the loop sleeps, and nothing else would wake it.
                self._asyncio_loop.call_soon_threadsafe(lambda: None)
            return function()
        return anyio.from_thread.run_sync(function, token=self._token)


class Leaving:
    """Cancels one piece of work from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = False
        self._cancel: Callable[[], object] | None = None

    async def unless_left(self, function: Callable[[], Awaitable[T]]) -> T | None:
        """Run an async function; None when it was left."""
        here = LoopHandle()
        with anyio.CancelScope() as scope:
            with self._lock:
                self._cancel = lambda: here.call(scope.cancel)
                if self._wanted:
                    scope.cancel()
            return await function()
        return None

    def leave(self) -> None:
        """End it; before it has begun, it ends at its first step."""
        with self._lock:
            self._wanted, cancel = True, self._cancel
        if cancel is not None:
            with suppress(RuntimeError):  # its loop may be gone by now
                cancel()
