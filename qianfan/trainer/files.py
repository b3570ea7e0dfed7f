"""Files that carry a trainer elsewhere: a versioned format of our own, and what earlier software wrote.

A file is JSON. It holds what a trainer is and what is known of its run: arguments, ids, requests; no keys, no rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import anyio

from qianfan.errors import PipelineError, TrainerFileError
from qianfan.pipeline import Pipeline, Row
from qianfan.trainer.earlier_files import is_earlier, trainer_of_earlier
from qianfan.trainer.fields import Fields
from qianfan.trainer.kept_actions import made_action

AnyPipeline = TypeVar("AnyPipeline", bound=Pipeline)

FORMAT, VERSION = "qianfan-trainer", 2
PIPELINE_FORMAT, PIPELINE_VERSION = "qianfan-pipeline", 1


async def write_trainer(path: Path, spec: Mapping[str, Any], rows: Mapping[str, Row]) -> None:
    """Write a trainer to a file of its own."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "spec": spec,
        "rows": {node: asdict(row) for node, row in rows.items()},
    }
    await write_json(path, content)


async def read_trainer(path: Path) -> tuple[dict[str, Any], dict[str, Row]]:
    """What a trainer is, and what is known of its run. Raises TrainerFileError that names the place."""
    content = await read_json(path)
    if is_earlier(content):
        return trainer_of_earlier(content, str(path))
    fields = Fields(str(path), "", content)
    found = fields.get("format", (str, int))
    if found == PIPELINE_FORMAT:
        raise fields.error("format", "this is a pipeline, not a trainer; Pipeline.load(file=...) reads it")
    # The first version had nothing but its number under "format".
    version = fields.get("version", int) if found == FORMAT else found
    if found not in (FORMAT, 1) or version not in (1, VERSION):
        place = "version" if found == FORMAT else "format"
        raise fields.error(place, f"{version!r} is not known; this version of qianfan reads {FORMAT} up to {VERSION}")
    spec, rows = _spec_of(fields.inside("spec")), _rows_of(fields.inside("rows"))
    fields.end()
    return spec, rows


def _spec_of(fields: Fields) -> dict[str, Any]:
    spec = {"kind": fields.get("kind", str), "arguments": dict(fields.get("arguments", dict))}
    spec |= {"name": fields.get("name", str, ""), "train_type": fields.get("train_type", str, None)}
    fields.end()
    return spec


def _rows_of(fields: Fields) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for node in fields.names:
        columns = fields.get(node, dict)
        try:
            rows[node] = Row.of(columns)
        except (KeyError, TypeError, ValueError) as error:
            raise fields.error(node, f"this is no row of a run: {error}") from None
    return rows


def pipeline_in(content: Any, file: str, kind: type[AnyPipeline]) -> AnyPipeline:
    """The pipeline of a file. Raises TrainerFileError that names the place."""
    fields = Fields(file, "", content)
    found = fields.get("format", str, "")
    if found != PIPELINE_FORMAT:
        is_trainer = found == FORMAT or is_earlier(content)
        hint = "a trainer, not a pipeline; Trainer.load(file=...) reads it" if is_trainer else "no pipeline"
        raise fields.error("format", f"this is {hint}")
    if (version := fields.get("version", int)) != PIPELINE_VERSION:
        raise fields.error("version", f"{version!r} is not known; this version of qianfan reads {PIPELINE_VERSION}")
    if (named := fields.get("type", str)) != "Pipeline":
        raise fields.error("type", f"a pipeline is a 'Pipeline', not a {named!r}")
    actions = [made_action(one) for one in fields.each("actions")]
    settings = fields.inside("init_params", optional=True)
    overlap = settings.get("overlap", bool, False)
    settings.end()
    facts = {"id": fields.get("id", str), "name": fields.get("name", str, "")}
    fields.end()
    try:
        return kind(actions, overlap=overlap, **facts)
    except PipelineError as error:
        raise fields.error("actions", str(error)) from error


async def write_json(path: Path, content: Any) -> None:
    """Write a file as a whole: whoever reads it finds the old content or the new one."""
    text = json.dumps(content, ensure_ascii=False, indent=1)
    whole = anyio.Path(path)
    await whole.parent.mkdir(parents=True, exist_ok=True)
    part = whole.with_name(f"{path.name}.part")
    await part.write_text(text, encoding="utf-8")
    await part.replace(whole)


async def read_json(path: Path) -> Any:
    """The content of a file. Raises TrainerFileError."""
    try:
        text = await anyio.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise TrainerFileError(f"cannot be read: {error.strerror or error}", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise TrainerFileError("this is no text in UTF-8", file=str(path)) from error
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise TrainerFileError(f"not valid JSON: {error.msg}", file=str(path), place=place) from error
    except RecursionError as error:
        raise TrainerFileError("too deeply nested", file=str(path)) from error
