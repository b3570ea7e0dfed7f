"""`qianfan`: arguments in, a library call, a table or JSON out.

Nothing heavy is imported before a command needs it, so `qianfan --help` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, NoReturn, TextIO

try:
    import typer
except ModuleNotFoundError as missing:
    # The entry point imports this module, so there is no later place for the message.
    sys.stderr.write(f"Error: the command line needs {missing.name}: pip install 'qianfan[cli]'\n")
    sys.exit(2)

from qianfan import __version__
from qianfan.cli import dataset, emulator, quickstart, trainer
from qianfan.cli.exits import TABLE, Exit, exit_code
from qianfan.cli.invocation import Invocation
from qianfan.cli.lines import LogLevel, log_lines, show_from
from qianfan.errors import QianfanError, describe

app = typer.Typer(
    name="qianfan",
    help=f"Fine-tune large language models on Baidu's Qianfan platform.\n\n{TABLE}",
    epilog="Example: qianfan quickstart",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command("quickstart", epilog=quickstart.EXAMPLE)(quickstart.quickstart)
app.add_typer(dataset.app, name="dataset")
app.add_typer(emulator.app, name="emulator")
app.add_typer(trainer.app, name="trainer")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    access_key: Annotated[str | None, typer.Option(help="Access Key of the account.", show_default=False)] = None,
    secret_key: Annotated[str | None, typer.Option(help="Secret Key of the account.", show_default=False)] = None,
    ak: Annotated[str | None, typer.Option(help="API Key of an application.", show_default=False)] = None,
    sk: Annotated[str | None, typer.Option(help="Secret Key of an application.", show_default=False)] = None,
    enable_traceback: Annotated[
        bool, typer.Option("--enable-traceback", help="Show where an error came from.", show_default=False)
    ] = False,
    log_level: Annotated[
        LogLevel,
        typer.Option(
            help="Show log lines from DEBUG, INFO, WARNING, ERROR or CRITICAL on.",
            metavar="LEVEL",
            case_sensitive=False,
        ),
    ] = LogLevel.WARNING,
    version: Annotated[
        bool, typer.Option("--version", "-v", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    # The help text is the app's own. Keys on a command line can be read by others on the machine, so the environment
    # is the usual place; these options beat it.
    context.ensure_object(Invocation).shows_tracebacks = enable_traceback
    if log_level is not LogLevel.WARNING:
        show_from(log_level)
    given = {"ACCESS_KEY": access_key, "SECRET_KEY": secret_key, "AK": ak, "SK": sk}
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen:
        from qianfan.config import get_config

        for name, value in chosen.items():
            setattr(get_config(), name, value)


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. An error becomes one readable line on stderr.

    A command that was interrupted returns what shells give to the signal. So does one whose output nobody reads any
    longer, as in `qianfan trainer list | head -1`: it ends without a word, with 141. That the terminal has been closed
    changes no exit code.
    """
    invocation = Invocation()
    # As they are now, since typer puts others in their place when nobody reads them any longer.
    stdout, stderr = sys.stdout, sys.stderr
    with log_lines():
        try:
            done: Any = app(arguments, prog_name="qianfan", standalone_mode=False, obj=invocation)
            code = int(done) if isinstance(done, int) else Exit.OK
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            code = _ended_by(error, shows_traceback=invocation.shows_tracebacks)
    for line in invocation.last_words:
        _say(line)
    unwritten = _write_out(stdout)
    _write_out(stderr)
    return _ended_by(unwritten) if unwritten is not None and code == Exit.OK else code


def _ended_by(error: BaseException, *, shows_traceback: bool = False) -> int:
    """Say what is wrong, unless the command was left rather than failed, and return the exit code."""
    left = _left(error)
    if left is not None:
        return left
    if shows_traceback:
        _say("".join(traceback.format_exception(error)).rstrip())
    return _explain(error)


def _left(error: BaseException) -> int | None:
    """The exit code when a command was left rather than failed; None when it failed."""
    if not isinstance(error, (KeyboardInterrupt, SystemExit, OSError, ValueError)):
        return None
    chain = list(_with_contexts(error))
    # On the way out something may be printed, and fail since the terminal is gone.
    for interrupt in chain:
        if isinstance(interrupt, KeyboardInterrupt):
            return Exit.INTERRUPTED
        if isinstance(interrupt, SystemExit) and interrupt.code in (Exit.HUNG_UP, Exit.TERMINATED):
            return Exit(interrupt.code)
    # typer and rich turn a broken pipe into a sys.exit(1).
    if isinstance(error, (BrokenPipeError, SystemExit)) and any(isinstance(one, BrokenPipeError) for one in chain):
        return Exit.UNREAD
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else Exit.FAILED if error.code else Exit.OK
    return None


def _with_contexts(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def _say(line: str) -> None:
    with suppress(AttributeError, OSError, ValueError):  # stderr may have gone with the terminal, or never been there
        sys.stderr.write(f"{line}\n")


def _write_out(stream: TextIO | None) -> OSError | None:
    """Write out what a stream holds back; returns why that could not be done."""
    if stream is None or stream.closed:
        return None
    try:
        stream.flush()
    except OSError as error:
        # Still held back, it would be tried again at the end of the process, and change the exit code.
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        return error
    return None


def _explain(error: BaseException) -> int:
    """Say what is wrong, and return the exit code."""
    # What typer raises for wrong options comes from one of two libraries, depending on its version.
    wrong_options = getattr(error, "format_message", None)
    if wrong_options is not None:
        return _explain_usage(error, wrong_options())
    text = describe(error)
    if not isinstance(error, (QianfanError, OSError)):
        text = (
            f"unexpected {type(error).__name__}: {text}. This is a mistake in qianfan; --enable-traceback shows where"
        )
    _say(f"Error: {text}")
    return exit_code(error)


def _explain_usage(error: BaseException, message: str) -> int:
    # Without any argument the message is the help, which typer has shown by now, except without rich. Older versions
    # call that a success.
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stdout.write(message)
        return Exit.OK
    context = getattr(error, "ctx", None)
    hint = f" ({context.command_path} --help shows the options)" if context is not None else ""
    line = " ".join(message.replace("Value error, ", "").split()).rstrip(".")
    _say(f"Error: {line}{hint}")
    return Exit.USAGE


if __name__ == "__main__":
    main()
