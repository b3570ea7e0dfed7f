"""The blocking face: every blocking method is one line that forwards through here.

One daemon thread runs one event loop (asyncio), started by the first call and shared by all of them, so blocking
calls work in scripts, in threads and inside a running loop such as a notebook's. No other module knows about threads.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

P = ParamSpec("P")
T = TypeVar("T")

INTERRUPT_PATIENCE = 1.0
"""Seconds that an interrupted call may take to tidy up before it leaves anyway."""


class _Bridge:
    """The background loop: at most one, made on demand, forgotten in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack: ExitStack | None = None
        self._portal: BlockingPortal | None = None
        self._thread_id: int | None = None

    def portal(self) -> BlockingPortal:
        with self._lock:
            if self._portal is None:
                self._stack = ExitStack()
                self._portal = self._stack.enter_context(start_blocking_portal("asyncio", name="qianfan"))
                self._thread_id = self._portal.call(threading.get_ident)
            return self._portal

    def is_this_thread(self) -> bool:
        return self._thread_id == threading.get_ident()

    def close(self) -> None:
        """End the loop, cancelling what still runs in it."""
        with self._lock:
            stack, self._stack, self._portal, self._thread_id = self._stack, None, None, None
            if stack is not None:
                stack.close()

    def forget(self) -> None:
        # A forked child has the objects but not the thread, and the lock may be held by a thread that is gone.
        self.__init__()  # type: ignore[misc]  # starting over is exactly what a child needs


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


class LoopHandle:
    """The event loop and thread a piece of work runs on, for others that want to tell it something."""

    def __init__(self) -> None:
        self._token = anyio.lowlevel.current_token()
        self._thread_id = threading.get_ident()

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
            return function()
        return anyio.from_thread.run_sync(function, token=self._token)
