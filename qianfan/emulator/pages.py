"""What people and programs see of the emulator itself: an overview as a page and as JSON, loss curves, counts.

Programs in other processes order its course here too: faults, quirks, and how work goes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from html import escape
from typing import TYPE_CHECKING

from qianfan._types import JSON
from qianfan.emulator import curves, openapi
from qianfan.emulator.faults import Fault
from qianfan.emulator.handlers.overview import overview
from qianfan.emulator.wire import Answer, Request, html_answer, json_answer
from qianfan.errors import InvalidArgumentError

if TYPE_CHECKING:
    from qianfan.emulator.platform import Platform

_DESCRIPTION = "/openapi.json"

_FAULT_FIELDS = tuple(field.name for field in fields(Fault) if field.name not in ("call", "seen", "hits"))


def is_page(request: Request) -> bool:
    """Whether a request is about the emulator itself. A signed one of `/` or a file below it is object storage's."""
    if request.path in ("/", _DESCRIPTION):
        return request.method == "GET" and not request.header("authorization")
    return request.path == "/_emulator" or request.path.startswith("/_emulator/")


async def show(platform: Platform, request: Request) -> Answer:
    """Answer a request about the emulator."""
    path = request.path.rstrip("/")
    if path == "" and request.method == "GET":
        return html_answer(_overview_page(_facts(platform)))
    if path == _DESCRIPTION:
        return Answer(200, {"content-type": "application/json"}, openapi.text().encode())
    if path == "/_emulator" and request.method == "GET":
        return json_answer(_facts(platform))
    if path.startswith("/_emulator/tasks/") and request.method == "GET":
        return _task_page(platform, path.rpartition("/")[2])
    if path == "/_emulator/faults":
        return await _faults(platform, request)
    if path == "/_emulator/limits":
        return await _limits(platform, request)
    if path == "/_emulator/quirks":
        return await _quirks(platform, request)
    if path == "/_emulator/counts" and request.method == "GET":
        return json_answer(_counts(platform))
    if path.startswith("/_emulator/stages/"):
        return await _script(platform, path.rpartition("/")[2], request)
    return json_answer({"error": f"the emulator has no {request.method} {path}"}, status=404)


def _facts(platform: Platform) -> dict[str, JSON]:
    with platform.account.lock:
        facts = overview(platform.account)
    return {**facts, "requests": platform.log.totals()}


def _counts(platform: Platform) -> dict[str, JSON]:
    with platform.account.lock:
        made, late = platform.account.made(), [asdict(late) for late in platform.late.settled]
    return {"requests": platform.log.totals(), "made": made, "late": late}


async def _faults(platform: Platform, request: Request) -> Answer:
    """Order a fault over HTTP, as `Faults.add` does in process, or take all orders back."""
    if request.method == "DELETE":
        platform.faults.clear()
        return json_answer({"ordered": 0})

    def order(wish: dict[str, JSON]) -> JSON:
        _check_names("a fault", wish, ("call", *_FAULT_FIELDS))
        platform.faults.add(wish.get("call", "*"), **{key: wish[key] for key in _FAULT_FIELDS if key in wish})
        return {"ordered": wish}

    return await _carried_out(request, "order a fault", order)


async def _limits(platform: Platform, request: Request) -> Answer:
    """Limit a model over HTTP, as `Emulator.limit` does in process, or take all limits away."""
    account = platform.account
    if request.method == "DELETE":
        with account.lock:
            account.limits.clear()
        return json_answer({"limited": 0})

    def limit(wish: dict[str, JSON]) -> JSON:
        _check_names("a limit", wish, ("model", "qps", "rpm", "tpm"))
        with account.lock:
            account.limits.set(**wish)
        return {"limited": wish}

    return await _carried_out(request, "set a limit", limit)


async def _quirks(platform: Platform, request: Request) -> Answer:
    """Tell the quirks, or change those that are named."""
    quirks = platform.account.quirks
    if request.method == "GET":
        return json_answer(asdict(quirks))

    def change(wish: dict[str, JSON]) -> JSON:
        with platform.account.lock:
            quirks.change(wish)
        return asdict(quirks)

    return await _carried_out(request, "change quirks", change)


_SCRIPT_FIELDS = ("after_looks", "seconds", "waits", "ends", "reason", "times")


async def _script(platform: Platform, name: str, request: Request) -> Answer:
    """Decide over HTTP how work of one kind goes, as `Stage.script` does in process; `{}` forgets the script."""
    stages = platform.account.stages
    if name not in {field.name for field in fields(stages)}:
        return json_answer({"error": f"there is no stage {name!r}"}, status=404)

    def script(wish: dict[str, JSON]) -> JSON:
        _check_names("a script", wish, _SCRIPT_FIELDS)
        with platform.account.lock:
            stage = getattr(stages, name)
            stage.script(**wish) if wish else stage.reset()
        return {"scripted": wish}

    return await _carried_out(request, "script a stage", script)


async def _carried_out(request: Request, what: str, do: Callable[[dict[str, JSON]], JSON]) -> Answer:
    """Do what a JSON object asks for, and answer with what comes of it."""
    if request.method != "POST" or "application/json" not in (request.header("content-type") or ""):
        # A page of another origin can send a plain form to this machine, but no JSON.
        return json_answer({"error": f"{what} with POST and content-type application/json"}, status=415)
    try:
        wish = json.loads(await request.read() or b"{}")
        if not isinstance(wish, dict):
            raise InvalidArgumentError(f"{what} with a JSON object, not {wish!r}")
        return json_answer(do(wish))
    except (ValueError, TypeError, AttributeError, InvalidArgumentError) as error:
        return json_answer({"error": str(error)}, status=400)


def _check_names(what: str, wish: dict[str, JSON], allowed: tuple[str, ...]) -> None:
    unknown = sorted(set(wish) - set(allowed))
    if unknown:
        raise InvalidArgumentError(f"{what} has no {unknown}; it has {', '.join(allowed)}")


def _task_page(platform: Platform, task_id: str) -> Answer:
    account = platform.account
    with account.lock:
        task = account.tasks.get(task_id)
        if task is None:
            return html_answer(_page("No such task", f"<p>There is no task {escape(task_id)}.</p>"), status=404)
        works = account.works
        body = curves.task_page(task, works.curve(task), works.about(task), simulated=works.simulated)
    return html_answer(_page(f"Task {task_id}", body))


_COLUMNS = {
    "Datasets": ("versionId", "number", "name", "dataFormat", "rows", "importStatus", "publishStatus"),
    "Trainings": ("taskId", "jobName", "model", "parameterScale", "runStatus", "progress", "curve"),
    "Models": ("modelId", "name", "version", "status", "taskId"),
    "Services": ("serviceId", "name", "endpoint", "runStatus"),
    "Buckets": ("bucket", "objects"),
    "Requests": ("call", "count"),
}


_HONEST = {
    True: "Metrics, losses and answers are simulated.",
    False: "It trains for real; the preset models that nobody trained here give canned answers.",
}


def _overview_page(facts: dict[str, JSON]) -> str:
    tasks = [{**task, "curve": f"/_emulator/tasks/{task['taskId']}"} for job in facts["jobs"] for task in job["tasks"]]
    rows: dict[str, list[dict[str, JSON]]] = {
        "Datasets": facts["datasets"],
        "Trainings": tasks,
        "Models": facts["models"],
        "Services": facts["services"],
        "Buckets": [{"bucket": name, "objects": count} for name, count in facts["buckets"].items()],
        "Requests": [{"call": name, "count": count} for name, count in facts["requests"].items()],
    }
    sections = [
        f'<p class="note">A local double of the Qianfan platform. {_HONEST[facts["simulated"]]}</p>',
        *(_table(title, rows[title], columns) for title, columns in _COLUMNS.items()),
        '<p>The same as JSON: <a href="/_emulator">/_emulator</a></p>',
        f'<p>What can be called, as OpenAPI: <a href="{_DESCRIPTION}">{_DESCRIPTION}</a></p>',
    ]
    return _page("qianfan emulator", "\n".join(sections))


def _table(title: str, rows: list[dict[str, JSON]], columns: tuple[str, ...]) -> str:
    if not rows:
        return f"<h2>{title}</h2><p>none</p>"
    head = "".join(f"<th scope=col>{column}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{_cell(row[column])}</td>" for column in columns) + "</tr>" for row in rows)
    return f"<h2>{title}</h2><div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(value: JSON) -> str:
    text = escape(str(value))
    return f'<a href="{text}">show</a>' if text.startswith("/_emulator/") else text


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><h1>{escape(title)}</h1>
{body}
</body></html>
"""


_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem }
h2 { font-size: 1.05rem; margin-top: 1.8rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line) }
.wide { overflow-x: auto }
.note { border-left: 4px solid #c80; padding-left: .8rem }
svg { max-width: 100%; height: auto }
"""
