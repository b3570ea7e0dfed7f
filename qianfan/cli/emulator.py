"""`qianfan emulator`: the platform on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LOOPBACK = "127.0.0.1"

app = typer.Typer(help="A Qianfan platform on this machine, for development, tests and demonstrations.")


@app.callback()
def emulator() -> None:
    """A Qianfan platform on this machine, for development, tests and demonstrations."""


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Where to listen. Other hosts than this one need --allow-remote.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8100,
    engine: Annotated[str, typer.Option(help="What trains: 'scripted' simulates.")] = "scripted",
    pace: Annotated[
        str, typer.Option(help="instant, demo (a run in about 8 s), or the seconds of a training.")
    ] = "demo",
    data_dir: Annotated[Path | None, typer.Option(help="Folder that keeps the state between starts.")] = None,
    access_key: Annotated[str | None, typer.Option(help="Check signatures against this key and --secret-key.")] = None,
    secret_key: Annotated[str | None, typer.Option(help="The secret of --access-key.")] = None,
    allow_remote: Annotated[
        bool, typer.Option(help="Listen for other machines; whoever reaches it may do all.")
    ] = False,
) -> None:
    """Serve until Ctrl-C. Prints the variables that point a client here.

    Example: qianfan emulator serve --pace demo --port 8100
    """
    from qianfan.emulator.server import serve as serve_emulator

    serve_emulator(
        host,
        port,
        pace=pace,
        engine=engine,
        access_key=access_key,
        secret_key=secret_key,
        data_dir=data_dir,
        allow_remote=allow_remote,
    )
