"""`qianfan emulator`: the platform on this machine."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

_EXAMPLE = "Example: qianfan emulator serve --pace demo --port 8100"

app = typer.Typer(
    help="A Qianfan platform on this machine, for development, tests and demonstrations.",
    epilog=_EXAMPLE,
    no_args_is_help=True,
)


def by_name(values: list[str] | None) -> dict[str, str]:
    """`NAME=VALUE` as an entry, a value alone as the one for all names."""
    pairs = [_NAMED.fullmatch(value) for value in values or ()]
    return {pair["name"] or "": pair["value"] for pair in pairs if pair is not None}


_NAMED = re.compile(r"(?:(?P<name>[^=/\\\\:]+)=)?(?P<value>.+)", re.DOTALL)


@app.command(epilog=_EXAMPLE)
def serve(
    host: Annotated[
        str, typer.Option(help="Where to listen. Other hosts than this one need --allow-remote.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8100,
    engine: Annotated[
        str | None,
        typer.Option(
            help="What trains: tiny learns rows by heart, hf trains Hugging Face models, command runs another trainer, "
            "scripted only simulates. Left out: hf with --base, command with --command, else tiny.",
            show_default=False,
        ),
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder of a pretrained model, or NAME=FOLDER for one of the platform's models; may be repeated.",
            show_default=False,
        ),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            help="An outside trainer, for example 'llamafactory-cli train {config}'.",
            show_default=False,
        ),
    ] = None,
    serve_at: Annotated[
        list[str] | None,
        typer.Option(
            help="OpenAI-style address that answers in place of deployed models, or NAME=ADDRESS; may be repeated.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Use hyper-parameters as asked for, also to train from scratch."),
    ] = False,
    at_once: Annotated[int, typer.Option(help="Trainings at the same time; the others wait.", min=1)] = 1,
    silence: Annotated[
        float, typer.Option(help="Seconds without a sign of life after which a training is given up.", min=1)
    ] = 60.0,
    idle: Annotated[
        float, typer.Option(help="Seconds without a question after which a model leaves memory until the next.", min=0)
    ] = 300.0,
    pace: Annotated[
        str,
        typer.Option(help="Of what is not computed: instant, demo, or the seconds of a scripted training."),
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
    from qianfan.emulator import engine_options
    from qianfan.emulator.server import serve as serve_emulator

    options = engine_options(
        engine,
        base=by_name(base),
        strict=strict,
        command=shlex.split(command or ""),
        serve_at=by_name(serve_at),
        at_once=at_once,
        silence=silence,
        idle=idle,
    )
    try:
        serve_emulator(
            host,
            port,
            pace=pace,
            options=options,
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


@app.command()
def openapi() -> None:
    """Print what can be called, as an OpenAPI description. A served emulator has it at /openapi.json."""
    from qianfan.emulator.openapi import text

    typer.echo(text())
