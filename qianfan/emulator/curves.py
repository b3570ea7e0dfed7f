"""The page of one training: its losses as a picture, and what computes it."""

from __future__ import annotations

import json
from html import escape

from qianfan._types import JSON
from qianfan.emulator.records import Task
from qianfan.emulator.works import Curve

_WIDTH, _HEIGHT = 640, 240


def task_page(task: Task, curve: Curve, about: dict[str, JSON] | None, *, simulated: bool) -> str:
    """The body of the page."""
    what = ", ".join(escape(word) for word in (task.model, task.train_mode, task.parameter_scale))
    parts = [f"<p>{what}: <b>{task.state}</b></p>"]
    if simulated:
        warning = "Simulated: nothing was trained, these numbers only look like a training's."
        parts.insert(0, f'<p class="note">{warning}</p>')
    if task.reason:
        parts.append(f'<p class="note">{escape(task.reason)}</p>')
    parts.append(_picture(curve) if curve.training else "<p>No loss has been computed yet.</p>")
    if about is not None:
        parts.append(_about(about))
    parts.append('<p><a href="/">Overview</a></p>')
    return "\n".join(parts)


def _picture(curve: Curve) -> str:
    last = max(step for step, _ in curve.training)
    highest = max(loss for _, loss in [*curve.training, *curve.validation]) or 1.0
    (first, begin), (_, end) = curve.training[0], curve.training[-1]
    lines = [_line(curve.training, last, highest)]
    words = f"Training loss {begin:.3f} at step {first}, {end:.3f} at step {last}."
    if curve.validation:
        lines.append(_line(curve.validation, last, highest, dashes="6 4"))
        step, loss = curve.validation[-1]
        words += f" On held-out rows (dashed) {loss:.3f} at step {step}."
    return f"""<svg viewBox="-8 -8 {_WIDTH + 16} {_HEIGHT + 16}" role="img" aria-label="loss over steps">
{"".join(lines)}</svg>
<p>{words}</p>"""


def _line(points: list[tuple[int, float]], last: int, highest: float, *, dashes: str = "") -> str:
    places = " ".join(f"{_WIDTH * step / last:.1f},{_HEIGHT * (1 - loss / highest):.1f}" for step, loss in points)
    return (
        f'<polyline fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="{dashes}" '
        f'points="{places}"/>\n'
    )


def _about(about: dict[str, JSON]) -> str:
    requested, effective = about.get("requested") or {}, about.get("effective") or {}
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td>{_shown(requested, key)}</td><td>{_shown(effective, key)}</td></tr>"
        for key in sorted({*requested, *effective})
    )
    notes = "".join(f"<li>{escape(str(note))}</li>" for note in about.get("notes") or ())
    facts = ", ".join(
        f"{name} {escape(str(about[name]))}" for name in ("engine", "base", "parameters", "device") if about.get(name)
    )
    return f"""<h2>What computes it</h2><p>{facts}</p>
<div class=wide><table><thead><tr><th scope=col>hyper-parameter<th scope=col>requested<th scope=col>used</tr></thead>
<tbody>{rows}</tbody></table></div><ul>{notes}</ul>"""


def _shown(values: dict[str, JSON], key: str) -> str:
    return escape(json.dumps(values[key], ensure_ascii=False)) if key in values else ""
