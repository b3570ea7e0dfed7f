"""The blocking face: every blocking method is one line that forwards through here.

One daemon thread runs one event loop (asyncio), started by the first call and shared by all of them, so blocking
calls work in scripts, in threads and inside a running loop such as a notebook's. No other module knows about threads.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

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


class _Bridge:
    """The background loop: at most one, made on demand, forgotten in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._portal: BlockingPortal | None = None
        self._thread: threading.Thread | None = None

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

    def close(self) -> None:
        """End the loop, cancelling what still runs in it. What does not end in time ends with the process."""
        with self._lock:
            portal, thread, self._portal, self._thread = self._portal, self._thread, None, None
        if portal is None or thread is None or not thread.is_alive():
            return
        with suppress(RuntimeError):
            portal.start_task_soon(portal.stop, True)
        thread.join(INTERRUPT_PATIENCE)

    def forget(self) -> None:
        # A forked child has the objects but not the thread, and the lock may be held by a thread that is gone.
        self.__init__()  # type: ignore[misc]  # starting over is exactly what a child needs


async def _serve(ready: Future[BlockingPortal]) -> None:
    async with BlockingPortal() as portal:
        ready.set_result(portal)
        await portal.sleep_until_stopped()


_bridge = _Bridge()
atexit.register(_bridge.close)
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


def run_sync(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run an async function on the background loop and wait for its result.

    Ctrl-C cancels it, waits up to a second for it to tidy up, and raises KeyboardInterrupt.
    """
    ended = threading.Event()

    async def call() -> T:
        try:
            return await function(*args, **kwargs)
        finally:
            ended.set()

    future = _portal().start_task_soon(call)
    try:
        return future.result()
    except (KeyboardInterrupt, SystemExit):
        future.cancel()
        ended.wait(INTERRUPT_PATIENCE)
        raise


def run_interruptible(function: Callable[[], Awaitable[T]], on_interrupt: Callable[[], float]) -> T:
    """Like `run_sync`, for work that decides itself what Ctrl-C means.

    on_interrupt: called in the waiting thread at the first Ctrl-C; it asks the work to end and answers how many
        seconds it may take. A second Ctrl-C leaves at once.
    """
    ended = threading.Event()

    async def call() -> T:
        try:
            return await function()
        finally:
            ended.set()

    future = _portal().start_task_soon(call)
    try:
        return future.result()
    except (KeyboardInterrupt, SystemExit):
        try:
            ended.wait(on_interrupt())
        finally:
            future.cancel()
        raise


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
