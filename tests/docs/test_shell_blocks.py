"""The commands that the documentation shows exist, with the options it shows."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from tests.docs.pages import ROOT, Block, Page, pages

COMMANDS = [
    pytest.param(block, line.strip(), id=f"{block.place} {line.strip()}")
    for page in pages()
    for block in page.blocks
    if block.is_shell
    for line in block.code.splitlines()
    if line.strip()
]


def words_of(line: str) -> list[list[str]]:
    """The commands of a line, each as its words."""
    words = shlex.split(line, comments=True)
    commands: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            commands.append([])
        else:
            commands[-1].append(word)
    return [command for command in commands if command]


@pytest.mark.parametrize(("block", "line"), COMMANDS)
def test_commands_exist(block: Block, line: str) -> None:
    for program, *arguments in words_of(line):
        check = CHECKS.get(program)
        assert check is not None, f"{block.place}: nothing checks {program!r}"
        check(arguments)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_sessions_named_in_the_text_exist(page: Page) -> None:
    for line in re.findall(r"`nox (-s [^`]+)`", page.prose):
        check_nox(shlex.split(line))


def check_qianfan(arguments: list[str]) -> None:
    """Find the subcommand, and each option among those it has."""
    typer = pytest.importorskip("typer")
    main = pytest.importorskip("qianfan.cli.main")
    command: Any = typer.main.get_command(main.app)
    rest = list(arguments)
    while rest and not rest[0].startswith("-") and hasattr(command, "commands"):
        assert rest[0] in command.commands, f"there is no {rest[0]!r} in {sorted(command.commands)}"
        command = command.commands[rest.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
    assert {word for word in rest if word.startswith("-")} <= options


def check_nox(arguments: list[str]) -> None:
    source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    sessions = set(re.findall(r"@nox\.session.*\ndef (\w+)\(", source))
    patterns = re.findall(r'@nox\.session\(name=f"([\w-]+)\{version\}"', source)
    pythons = re.findall(r'"(3\.\d+)"', source)
    sessions |= {pattern + version for pattern in patterns for version in pythons}
    wanted = [word for word in arguments[arguments.index("-s") + 1 :] if word != "--"] if "-s" in arguments else []
    assert wanted[:1] == [] or wanted[0] in sessions


def check_pip(arguments: list[str]) -> None:
    """Extras of this package are extras that it has."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in (extra for word in arguments for extra in re.findall(r"^(?:\.|qianfan)\[(.*)\]$", word)):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE)


def check_export(arguments: list[str]) -> None:
    """The names are checked with all others on the page."""
    assert all("=" in word for word in arguments)


def needs_no_check(arguments: list[str]) -> None:
    """Programs that are not ours."""


CHECKS = {
    "qianfan": check_qianfan,
    "nox": check_nox,
    "pip": check_pip,
    "export": check_export,
    "git": needs_no_check,
    "cd": needs_no_check,
}


def test_the_readme_has_exactly_two_first_commands() -> None:
    """Whoever comes new has one command to see it work and one to test it."""
    blocks = [block for block in Page(ROOT / "README.md").blocks if block.is_shell]
    assert [block.code.strip() for block in blocks[:2]] == ["pip install nox && nox -s quickstart", "nox -s tests"]
