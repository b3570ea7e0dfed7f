"""`qianfan emulator`: the platform on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_EXAMPLE = "Example: qianfan emulator serve --pace demo --port 8100"

app = typer.Typer(
    help="A Qianfan platform on this machine, for development, tests and demonstrations.",
    epilog=_EXAMPLE,
    no_args_is_help=True,
)


@app.callback()
def emulator() -> None:
    # A callback keeps `serve` a command of its own although it is the only one.
    ...


@app.command(epilog=_EXAMPLE)
def serve(
    host: Annotated[
        str, typer.Option(help="Where to listen. Other hosts than this one need --allow-remote.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8100,
    engine: Annotated[str, typer.Option(help="What trains: 'scripted' simulates.")] = "scripted",
    pace: Annotated[
        str, typer.Option(help="instant, demo (a run in about 8 s), or the seconds of a training.")
    ] = "demo",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder that keeps the state between starts.", show_default=False)
    ] = None,
    access_key: Annotated[
        str | None, typer.Option(help="Check signatures against this key and --secret-key.", show_default=False)
    ] = None,
    secret_key: Annotated[str | None, typer.Option(help="The secret of --access-key.", show_default=False)] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen for other machines; whoever reaches it may do all.")
    ] = False,
) -> None:
    """Serve until Ctrl-C. Prints the variables that point a client here."""
    from qianfan.emulator.server import serve as serve_emulator

    try:
        serve_emulator(
            host,
            port,
            pace=pace,
            engine=engine,
            access_key=access_key,
            secret_key=secret_key,
            data_dir=data_dir,
            allow_remote=allow_remote,
            printer=typer.echo,
        )
    except OSError as error:
        if error.filename is not None:  # something in --data-dir, and the error says what
            raise
        reason = error.strerror or str(error)
        raise typer.BadParameter(
            f"cannot serve on {host}:{port}: {reason}. --port 0 takes a free port", param_hint="--host / --port"
        ) from error
