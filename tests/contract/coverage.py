"""The table of what is covered: endpoint, client call, emulator route, test; written from the code.

```shell
python -m tests.contract.coverage            # prints it, in both languages
python -m tests.contract.coverage --write    # puts it into the documentation
```
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qianfan._transport import Call
from qianfan.emulator import routes
from qianfan.emulator.handlers import tokens
from qianfan.resources import console
from qianfan.resources._base import Resource

HERE = Path(__file__).parent
PAGES = HERE.parents[1] / "docs" / "reference"
ENDPOINTS: dict[str, list[str]] = json.loads((HERE / "endpoints.json").read_text(encoding="utf-8"))
"""Area -> what the platform's documents list there, in their order."""
TITLES = {
    "finetuning": ("Fine-tuning", "模型精调"),
    "datasets": ("Datasets", "数据集"),
    "models": ("Models", "模型"),
    "services": ("Services", "服务"),
    "evaluation": ("Evaluation", "评估"),
    "batch-inference": ("Batch inference", "批量推理"),
    "charge": ("Quota and compute units", "配额与算力单元"),
    "inference": ("Inference", "推理"),
    "auth": ("Tokens", "令牌"),
}
"""Area -> what it is called in English and in Chinese."""
INFERENCE = {
    "/chat": "ChatCompletion",
    "/completions": "Completion",
    "/embeddings": "Embedding",
    "/text2image": "Text2Image",
    "/image2text": "Image2Text",
    "/reranker": "Reranker",
    "/tokenizer/erniebot": "Tokenizer",
    "/erniebot/plugins": "Plugin",
    "/v2/chat/completions": "ChatCompletion(version=2)",
    "/v2/embeddings": "Embedding(version=2)",
    "/v2/rerankers": "Reranker(version=2)",
    "/oauth/2.0/token": "every V1 call with AK and SK",
}
"""Where the address is made of parts, so that no constant names it."""
ALSO_SERVED = ("/v2/rerank", "/plugin")
"""Second addresses of listed endpoints, and what clients of before used."""

_COLUMNS = ("| endpoint | client | emulator | test |", "| 接口 | 客户端 | 模拟器 | 测试 |")
_HEAD_EN = """# What is covered

Every call that the platform's documents list, how it is made here, who answers it in the
[emulator](../emulator.md), and the test that drives it over a socket by both faces, blocking and async. The table is
written from the code by `python -m tests.contract.coverage --write`, and a test holds it against the code.

In the column of calls the documented name comes first; each has a twin that is awaited: `FineTune.V2.create_job` and
`FineTune.V2.acreate_job`.
"""
_HEAD_ZH = """# 覆盖范围

平台文档列出的每个接口：在这里如何调用，[模拟器](../emulator.zh.md)中由谁应答，以及经由套接字、以阻塞与异步两种方式驱动它的测试。
本表由 `python -m tests.contract.coverage --write` 根据代码写成，并有测试保证与代码一致。

“客户端”一列中，文档中的名称排在最前；每个方法都有可 `await` 的版本：
`FineTune.V2.create_job` 与 `FineTune.V2.acreate_job`。
"""


def pages() -> dict[Path, str]:
    """The whole page in each language, by its file."""
    return {
        PAGES / "coverage.md": _page(_HEAD_EN, 0),
        PAGES / "coverage.zh.md": _page(_HEAD_ZH, 1),
    }


def _page(head: str, language: int) -> str:
    clients, handlers, tests = client_calls(), emulator_routes(), covering_tests()
    parts = [head]
    for area, endpoints in ENDPOINTS.items():
        parts.append(f"\n## {TITLES[area][language]}\n\n{_COLUMNS[language]}\n| --- | --- | --- | --- |\n")
        for endpoint in endpoints:
            cells = [clients.get(endpoint, []), handlers.get(endpoint, []), tests.get(endpoint, [])]
            parts.append(f"| `{endpoint}` | " + " | ".join(_cell(cell) for cell in cells) + " |\n")
    return "".join(parts)


def _cell(entries: list[str]) -> str:
    return "<br>".join(f"`{entry}`" for entry in dict.fromkeys(entries))


def missing() -> list[str]:
    """The cells that are empty, as `endpoint: column`."""
    columns = {"client": client_calls(), "emulator": emulator_routes(), "test": covering_tests()}
    every = [endpoint for endpoints in ENDPOINTS.values() for endpoint in endpoints]
    return [f"{endpoint}: {name}" for endpoint in every for name, found in columns.items() if not found.get(endpoint)]


# --- the client --------------------------------------------------------------------------------------------------


def client_calls() -> dict[str, list[str]]:
    """Endpoint -> the documented and the typed methods that call it."""
    found: dict[str, list[str]] = {}
    for owner in _owners():
        for name, method in _methods(owner):
            typed: Callable[..., Any] = getattr(method, "typed", method)
            for call in _calls_of(typed):
                found.setdefault(_endpoint(call), []).append(f"{owner.__qualname__}.{name}")
    for endpoint, name in INFERENCE.items():
        found.setdefault(endpoint, []).insert(0, name)
    for names in found.values():
        names.sort(key=lambda name: name.split(".")[0] not in _DOCUMENTED)
    return found


_DOCUMENTED = ("FineTune", "Data", "Model", "Service", "Charge", "Eval", "IAM")


def _owners() -> Iterator[type]:
    folder = Path(next(iter(console.__path__)))
    for file in sorted(folder.glob("*.py")):
        if file.stem.startswith("_") or file.stem == "consts":
            continue
        module = importlib.import_module(f"{console.__name__}.{file.stem}")
        for _, owner in inspect.getmembers(module, inspect.isclass):
            if owner.__module__ != module.__name__:
                continue
            if issubclass(owner, Resource) or owner.__name__ in _DOCUMENTED:
                yield owner
                yield from (inner for inner in vars(owner).values() if inspect.isclass(inner))


def _methods(owner: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    documented = not issubclass(owner, Resource)
    for name, entry in vars(owner).items():
        method = entry.__func__ if isinstance(entry, (staticmethod, classmethod)) else entry
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        # Of a documented pair the blocking one stands for both.
        if documented and (not hasattr(method, "typed") or inspect.iscoroutinefunction(method)):
            continue
        yield name, method


def _calls_of(method: Callable[..., Any]) -> list[Call]:
    named = [inspect.unwrap(method).__globals__.get(name) for name in inspect.unwrap(method).__code__.co_names]
    return [call for call in named if isinstance(call, Call)]


def _endpoint(call: Call) -> str:
    return call.action or call.path.removeprefix("/wenxinworkshop")


# --- the emulator ------------------------------------------------------------------------------------------------


def emulator_routes() -> dict[str, list[str]]:
    """Endpoint -> the handler that answers it."""
    found: dict[str, Callable[..., Any]] = {}
    for actions in routes.CONSOLE_V2.values():
        found |= actions
    found |= routes.DATA_V1 | routes.CONSOLE_V1 | routes.INFERENCE_V2
    longer = {name.split("/")[1]: name for name in ENDPOINTS["inference"] if name.count("/") == 2}
    found |= {longer.get(kind, f"/{kind}"): handler for kind, handler in routes.INFERENCE_V1.items()}
    found |= {"/oauth/2.0/token": tokens.oauth_token, "/v1/BCE-BEARER/token": tokens.bearer_token}
    prefix = "qianfan.emulator.handlers."
    return {name: [f"{handler.__module__.removeprefix(prefix)}.{handler.__name__}"] for name, handler in found.items()}


# --- the tests ---------------------------------------------------------------------------------------------------


def covering_tests() -> dict[str, list[str]]:
    """Endpoint -> the tests that say they cover it."""
    found: dict[str, list[str]] = {}
    for file in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for endpoint in _covered(node):
                    found.setdefault(endpoint, []).append(f"{file.stem}::{node.name}")
    return found


def _covered(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    markers = [one for one in node.decorator_list if isinstance(one, ast.Call)]
    named = [one for one in markers if ast.unparse(one.func) == "pytest.mark.covers"]
    return [ast.literal_eval(argument) for one in named for argument in one.args]


if __name__ == "__main__":
    for file, text in pages().items():
        if "--write" in sys.argv:
            file.write_text(text, encoding="utf-8")
        else:
            sys.stdout.write(text)
    for gap in missing():
        sys.stderr.write(f"empty: {gap}\n")
