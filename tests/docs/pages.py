"""The documentation as data: pages, the code blocks in them, their links.

A page is plain Markdown. Only what the tests need is understood: fenced blocks, comments that say why a block is not
run, and inline links.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>[\w-]*)\s*$")
_NOT_RUN = re.compile(r"\s*<!-- not run: (?P<reason>.+?) -->\s*$")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_SHELL = frozenset({"shell", "bash", "console", "sh"})


@dataclass(frozen=True)
class Block:
    """One fenced block. line: of its first line of code, from 1. not_run: the reason, if it is only to be read."""

    page: Path
    language: str
    line: int
    code: str
    not_run: str | None = None

    @property
    def is_python(self) -> bool:
        return self.language == "python"

    @property
    def is_shell(self) -> bool:
        return self.language in _SHELL

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def essence(self) -> str:
        """The code without its comments and layout, which may differ between languages. Pictures are words."""
        if self.language == "text":
            return ""
        if self.is_python:
            return ast.dump(ast.parse(self.code))
        lines = [line.split("#")[0].strip() for line in self.code.splitlines()]
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True)
class Page:
    """One page in one language."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def blocks(self) -> list[Block]:
        return [*_blocks(self.path, self.text.splitlines())]

    @property
    def prose(self) -> str:
        """The page without its code blocks."""
        inside = False
        kept: list[str] = []
        for line in self.text.splitlines():
            if line.lstrip().startswith("```"):
                inside = not inside
            elif not inside:
                kept.append(line)
        return "\n".join(kept)

    @property
    def links(self) -> list[str]:
        """The targets of inline links."""
        return [match["target"] for match in _LINK.finditer(self.prose)]

    @property
    def twin(self) -> Path:
        """The same page in Chinese."""
        name = self.path.name.removesuffix(".md")
        return self.path.with_name(f"{name}.zh-CN.md" if self.path.parent == ROOT else f"{name}.zh.md")


def pages() -> list[Page]:
    """Every page, both languages, in a fixed order."""
    return [Page(path) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])]


def pages_in_two_languages() -> list[Page]:
    """The English half of the pages that users read."""
    return [page for page in pages() if page.name.startswith(("docs/", "README")) and ".zh" not in page.name]


def _blocks(path: Path, lines: list[str]) -> Iterator[Block]:
    reason: str | None = None
    numbered = enumerate(lines, start=1)
    for number, line in numbered:
        opening = _FENCE.match(line)
        if opening is None:
            comment = _NOT_RUN.match(line)
            if comment is not None or line.strip():
                reason = comment["reason"] if comment else None
            continue
        indent = len(opening["indent"])
        code: list[str] = []
        for _, inner in numbered:
            if inner.strip() == "```":
                break
            code.append(inner[indent:])
        else:
            raise AssertionError(f"{path}:{number}: the block is never closed")
        yield Block(path, opening["language"], number + 1, "\n".join(code) + "\n", reason)
        reason = None
