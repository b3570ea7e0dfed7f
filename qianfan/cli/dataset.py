"""`qianfan dataset`: look at data, check them, convert them, and move them to the platform and back."""

from __future__ import annotations

import typer

from qianfan.cli.checking import check, stats
from qianfan.cli.moving import convert, download, save, upload
from qianfan.cli.predicting import predict
from qianfan.cli.viewing import view

app = typer.Typer(
    help="Look at data, check them, convert them, and move them to the platform and back.",
    epilog="Example: qianfan dataset check rows.jsonl",
    no_args_is_help=True,
)
for _command, _example in (
    (check, "check train.jsonl --against eval.jsonl --html report.html"),
    (stats, "stats rows.jsonl --json"),
    (view, "view rows.jsonl --row 0-9 --column prompt,response"),
    (convert, "convert alpaca.csv rows.jsonl --to messages"),
    (upload, "upload rows.jsonl --dataset-name sums --bos-path bos:/your-bucket/qianfan --release"),
    (download, "download ds-7d1m4z8w2pqc --output rows.jsonl"),
    (save, "save ds-7d1m4z8w2pqc rows.csv"),
    (predict, "predict questions.jsonl --endpoint sft1_x7d2 --output answers.jsonl"),
):
    app.command(epilog=f"Example: qianfan dataset {_example}")(_command)
