"""`qianfan`: arguments in, a library call, a table or JSON out.

Nothing heavy is imported before a command needs it, so `qianfan --help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

try:
    import typer
except ImportError:  # pragma: no cover - the extra is installed wherever the tests run
    sys.stderr.write("the command line needs an extra: pip install 'qianfan[cli]'\n")
    sys.exit(2)

from qianfan import __version__
from qianfan.cli import emulator, quickstart, trainer
from qianfan.cli.exits import TABLE, Exit, exit_code

app = typer.Typer(
    name="qianfan",
    help=f"Fine-tune large language models on Baidu's Qianfan platform.\n\n{TABLE}\n\nExample: qianfan quickstart",
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command("quickstart")(quickstart.quickstart)
app.add_typer(emulator.app, name="emulator")
app.add_typer(trainer.app, name="trainer")

_wants_traceback = False


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    access_key: Annotated[str | None, typer.Option(help="Access Key of the account.", show_default=False)] = None,
    secret_key: Annotated[str | None, typer.Option(help="Secret Key of the account.", show_default=False)] = None,
    ak: Annotated[str | None, typer.Option(help="API Key of an application.", show_default=False)] = None,
    sk: Annotated[str | None, typer.Option(help="Secret Key of an application.", show_default=False)] = None,
    enable_traceback: Annotated[bool, typer.Option(help="Show where an error came from.")] = False,
    log_level: Annotated[str | None, typer.Option(help="Show log lines from this level on: DEBUG, INFO, …")] = None,
    version: Annotated[
        bool, typer.Option("--version", "-v", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Keys may also come from QIANFAN_ACCESS_KEY and QIANFAN_SECRET_KEY, or from a .env file."""
    global _wants_traceback
    _wants_traceback = enable_traceback
    if log_level is not None:
        from qianfan.utils.logging import enable_log

        enable_log(log_level.upper())
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
    """Run one command and return its exit code. Errors of the library become one readable line on stderr."""
    try:
        done: Any = app(arguments, standalone_mode=False)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return Exit.INTERRUPTED
    except Exception as error:
        return _explain(error)
    return int(done) if isinstance(done, int) else Exit.OK


def _explain(error: Exception) -> int:
    # Wrong options come as exceptions of the library behind typer, which show themselves.
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if show is not None and code is not None:
        show()
        return int(code)
    from qianfan.errors import QianfanError

    if _wants_traceback or not isinstance(error, (QianfanError, OSError)):
        raise error
    sys.stderr.write(f"Error: {error}\n")
    return exit_code(error)


if __name__ == "__main__":
    main()
