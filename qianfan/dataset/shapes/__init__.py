"""The shapes that rows come in, how each is recognised, read into a typed row, and written back.

Everything here is pure: parsed JSON in, a row or flaws out, and the other way round. A flaw names the place inside the
row. A row that could have several shapes is never guessed at: `candidates` names them all, and `format=` settles it.

| shape | looks like |
| --- | --- |
| `dialogue` | `[{"prompt": "…", "response": [["…"]]}, …]`, the platform's own; several answers are ranked, best first |
| `preference` | `[{"user": "…", "chosen": "…", "rejected": "…"}]`, the platform's own; KTO: one of the answers |
| `query` | `{"prompt": "…"}`, the platform's own |
| `text` | a plain text, or `{"text": "…"}` |
| `text2image` | `{"image": "…", "prompt": "…"}`, an image's file with its description |
| `alpaca` | `{"instruction": "…", "input": "…", "output": "…"}`, with `history`, `system`; also judged, see below |
| `messages` | `{"messages": [{"role": "user", "content": "…"}, …]}`, with `tools`, `weight`; also judged |
| `sharegpt` | `{"conversations": [{"from": "human", "value": "…"}, …]}`, with `system`, `tools`; also judged |
| `prompt_response` | `{"prompt": "…", "response": "…"}`, with `history`, `system`; ranked answers as in `dialogue` |
| `prompt_completion` | `{"prompt": "…", "completion": "…"}`, texts or messages |
| `dpo` | `{"prompt": "…", "chosen": "…", "rejected": "…"}`, texts or messages, with `system` |
| `kto` | `{"prompt": "…", "completion": "…", "label": true}`, texts or messages, with `system` |
| `answers` | `{"input": "…", "output": "…", "reference": "…"}`, what a batch of questions comes back as |
| `table` | any other object; it can be worked on by its columns, not uploaded |

Judged: `chosen` and `rejected` instead of the last answer make a row of DPO, `kto_tag` (true or false) beside it one of
KTO. Columns that mean nothing in a shape may stand beside the others and are left out. Tools, calls and results become
texts of the conversation, and tools again when written: see `tools.py`.
"""

from qianfan.dataset.shapes.flaws import Flaw, Path, RowFlaws, Rule, kind, path_text
from qianfan.dataset.shapes.known import (
    SHAPES,
    TABLE,
    Shape,
    candidates,
    shape_named,
    stranger,
    why_unclear,
)
from qianfan.dataset.shapes.quick import MAX_TURNS

__all__ = [
    "MAX_TURNS",
    "SHAPES",
    "TABLE",
    "Flaw",
    "Path",
    "RowFlaws",
    "Rule",
    "Shape",
    "candidates",
    "kind",
    "path_text",
    "shape_named",
    "stranger",
    "why_unclear",
]
