"""What the project can be asked to do: `nox -l` lists it."""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["tests"]
nox.options.error_on_external_run = True

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
CORE = [
    "tests/test_imports.py",
    "tests/test_config.py",
    "tests/auth",
    "tests/pipeline",
    "tests/trainer/test_snippets.py",
]
"""What is checked on the oldest and the newest Python at every change."""
SIDE_BY_SIDE = ["-n", "2", "--dist", "worksteal"]
"""Two processes run the tests; `-- -n 0` runs them in one, for a debugger."""
OLDER_SDK = ["qianfan[dataset_base]==0.4.12.3", "python-dateutil"]
"""The last release of what this package follows, with what it forgets to ask for."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
"""Nothing is downloaded, and small models compute on one thread, which is faster than two for them."""


def install(session: nox.Session, *groups: str) -> None:
    """The package as a user gets it, with every extra, and the tools of the given dependency groups."""
    session.install("-q", "-e", ".[all]", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session
def quickstart(session: nox.Session) -> None:
    """Train, publish, deploy and ask a model on this machine, with no account."""
    session.install("-q", ".[all]")
    session.run("qianfan", "quickstart", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Everything on this Python: style, types, tests, and the code in README and docs."""
    install(session, "test", "frames", "lint")
    check_style(session)
    check_types(session)
    session.run("pytest", *SIDE_BY_SIDE, *session.posargs)


def on_one_python(version: str) -> None:
    """Register the sessions for a Python other than the one that runs nox."""

    @nox.session(name=f"tests-{version}", python=version)
    def tests_on(session: nox.Session) -> None:
        install(session, "test", "frames")
        session.run("pytest", *SIDE_BY_SIDE, *session.posargs)

    @nox.session(name=f"core-{version}", python=version)
    def core_on(session: nox.Session) -> None:
        install(session, "test")
        session.run("pytest", "-q", *CORE, *session.posargs)

    tests_on.__doc__ = f"All tests on Python {version}."
    core_on.__doc__ = f"Imports, settings, signing, the engine and the documented snippets on Python {version}."


for _version in PYTHONS:
    on_one_python(_version)


def check_style(session: nox.Session) -> None:
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


def check_types(session: nox.Session) -> None:
    session.run("mypy")
    session.run("pyright", "--pythonpath", f"{session.bin}/python")


@nox.session
def lint(session: nox.Session) -> None:
    """Put the code in order, as far as a tool can."""
    session.install("-q", *nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", "--fix", ".")
    session.run("ruff", "format", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types, by both checkers."""
    install(session, "test", "lint")
    check_types(session)


@nox.session
def faults(session: nox.Session) -> None:
    """Kill, freeze and starve real processes, and print what came of it; `-- --write` puts that into the docs.

    `-- --seeds=3 --many=5000` tries more; other arguments go to pytest.
    """
    install(session, "test", "faults")
    report = Path(session.create_tmp(), "faults.jsonl").absolute()
    report.unlink(missing_ok=True)
    wanted = [argument for argument in session.posargs if argument != "--write"]
    session.run("pytest", "tests/crashes", *SIDE_BY_SIDE, f"--fault-report={report}", *wanted)
    session.run("python", "-m", "tests.crashes.report", str(report), *({"--write"} & {*session.posargs}))


@nox.session
def contract(session: nox.Session) -> None:
    """Ask the emulator for everything in its OpenAPI description, and hold the answers against it.

    `-- --max-examples=500 --requests-seed=2` asks more and otherwise; other arguments go to pytest.
    """
    install(session, "test", "contract")
    session.run("pytest", "tests/conformance", "-q", *SIDE_BY_SIDE, *session.posargs)


@nox.session(python="3.11")
def fuzz(session: nox.Session) -> None:
    """Let atheris look for data files that break the readers; `-- --target=fix --suffix=.csv --seconds=600`."""
    session.install("-q", "-e", ".[data]", *nox.project.dependency_groups(PROJECT, "fuzz"))
    session.run("python", "-m", "tests.fuzzing", *session.posargs)


@nox.session
def hf(session: nox.Session) -> None:
    """Train with PyTorch and the Hugging Face libraries on this machine's processor, without a network."""
    # By itself and as one exact version, so that what the other libraries ask for does not bring in another one.
    session.install("-q", "torch==2.13.0")
    session.install("-q", "-e", ".[all,train]", *nox.project.dependency_groups(PROJECT, "test"))
    session.run("pytest", "tests/engines/hf", *session.posargs, env=OFFLINE)


@nox.session
def older(session: nox.Session) -> None:
    """Point the SDK that came before this one at the emulator, in an environment of its own."""
    install(session, "test")
    place = Path(session.create_tmp(), "older").absolute()
    session.run("python", "-m", "venv", str(place), silent=True)
    python = str(place / "bin" / "python")
    session.run(python, "-m", "pip", "install", "-q", *OLDER_SDK)
    session.run("pytest", "tests/older", *session.posargs, env={"QIANFAN_OLDER_PYTHON": python})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure, and print a page of results."""
    install(session)
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site into site/."""
    install(session, "docs")
    session.run("mkdocs", "build", "--strict", *session.posargs)
