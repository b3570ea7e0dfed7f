"""Every code block of the documentation runs, in order, as a reader would run it.

The Python blocks of a page share their names. They run against an emulator, in an empty folder. Functions named
`test_…` are called with a fresh one, as pytest would. A block below `<!-- not run: reason -->` must only compile.
"""

from __future__ import annotations

import ast
import inspect
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import anyio
import pytest

from qianfan.emulator import Emulator
from tests.docs.pages import Block, Page, pages

WITH_PYTHON = [page for page in pages() if any(block.is_python for block in page.blocks)]
# A page in Chinese has the same code as its English twin (see test_pages), so one event loop is enough for it.
ON_BACKENDS = [
    (page, backend) for page in WITH_PYTHON for backend in (["asyncio"] if ".zh" in page.name else ["asyncio", "trio"])
]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A cache folder of the test's own, and logging as it was before."""
    monkeypatch.setenv("QIANFAN_CACHE_DIR", str(tmp_path / "cache"))
    logger = logging.getLogger("qianfan")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


def compiled(block: Block) -> CodeType:
    """The block's code, placed on its own lines so that a traceback names the page and the line."""
    code = "\n" * (block.line - 1) + block.code
    return compile(code, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def play(block: Block, names: dict[str, Any], backend: str) -> None:
    code = compiled(block)
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, names)
        return

    async def awaited() -> None:
        await eval(code, names)

    anyio.run(awaited, backend=backend)


def call_tests(names: dict[str, Any], backend: str) -> None:
    """Call what a page defines as a test, each with an emulator of its own as the only fixture."""
    for name, function in list(names.items()):
        if not name.startswith("test_"):
            continue
        with Emulator(engine="scripted") as emulator:
            if inspect.iscoroutinefunction(function):
                anyio.run(function, emulator, backend=backend)
            else:
                function(emulator)


@pytest.mark.parametrize(("page", "backend"), ON_BACKENDS, ids=lambda one: getattr(one, "name", one))
def test_python_blocks_run(page: Page, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A real module, since dataclasses look up the one they are defined in.
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    names = vars(module)
    # A page that wants a real training opens an emulator of its own.
    with Emulator(engine="scripted"):
        for block in page.blocks:
            if block.is_python and block.not_run is None:
                play(block, names, backend)
        call_tests(names, backend)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_blocks_that_are_not_run_compile(page: Page) -> None:
    for block in page.blocks:
        if block.is_python and block.not_run is not None:
            compiled(block)
