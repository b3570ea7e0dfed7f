"""Names and their homes: what users import works, in any order, costs nothing, and is one object wherever it lives."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import qianfan

PACKAGE = Path(qianfan.__file__).parent

DOCUMENTED = {
    "qianfan": [
        "AK", "SK", "AccessKey", "AccessToken", "ChatCompletion", "Completion", "Embedding", "Image2Text", "Messages",
        "Plugin", "QfMessages", "QfResponse", "QfRole", "Qianfan", "Reranker", "Response", "Role", "SecretKey",
        "Text2Image", "Tokenizer", "disable_log", "enable_log", "get_config", "get_config_with_kwargs",
    ],
    "qianfan.config": ["get_config", "get_config_with_kwargs", "AccessKey", "SecretKey", "AK", "SK", "AccessToken"],
    "qianfan.dataset": [
        "BosDataSource", "DataExportDestinationType", "DataProjectType", "DataSetType", "DataSource", "DataSourceType",
        "DataStorageType", "DataTemplateType", "Dataset", "FileDataSource", "FormatType", "QianfanDataSource", "Table",
    ],
    "qianfan.dataset.consts": ["DataStorageType", "DataTemplateType"],
    "qianfan.dataset.data_operator": ["QianfanOperator", "RemoveEmoji"],
    "qianfan.dataset.data_source": ["BosDataSource", "DataSource", "FileDataSource", "FormatType", "QianfanDataSource"],
    "qianfan.dataset.data_source.baidu_qianfan": ["QianfanDataSource"],
    "qianfan.dataset.data_source.base": ["DataSource", "FormatType"],
    "qianfan.dataset.data_source.bos": ["BosDataSource"],
    "qianfan.dataset.data_source.file": ["FileDataSource"],
    "qianfan.dataset.dataset": ["Dataset"],
    "qianfan.dataset.qianfan_data_operators": [
        "DeduplicationSimhash", "Deduplicator", "DesensitizationProcessor", "ExceptionRegulator", "Filter",
        "FilterCheckCharacterRepetitionRemoval", "FilterCheckFlaggedWords", "FilterCheckLangId",
        "FilterCheckNumberWords", "FilterCheckPerplexity", "FilterCheckSpecialCharacters",
        "FilterCheckWordRepetitionRemoval", "QianfanOperator", "RemoveEmoji", "RemoveInvisibleCharacter",
        "RemoveNonMeaningCharacters", "RemoveWebIdentifiers", "ReplaceEmails", "ReplaceIdentifier", "ReplaceIp",
        "ReplaceTraditionalChineseToSimplified", "ReplaceUniformWhitespace",
    ],
    "qianfan.dataset.schema": [
        "EvaluationSchema", "QianfanGenericText", "QianfanNonSortedConversation", "QianfanPromptChosenRejected",
        "QianfanQuerySet", "QianfanSchema", "QianfanSortedConversation", "QianfanText2Image", "Schema",
    ],
    "qianfan.dataset.table": ["Table"],
    "qianfan.evaluation": [
        "EvaluationManager", "EvaluationResult", "Evaluator", "ExactMatchEvaluator", "LocalEvaluator",
        "LocalJudgeEvaluator", "SimilarityEvaluator",
    ],
    "qianfan.evaluation.evaluator": [
        "Evaluator", "LocalEvaluator", "ManualEvaluatorDimension", "QianfanEvaluator", "QianfanManualEvaluator",
        "QianfanRefereeEvaluator", "QianfanRuleEvaluator",
    ],
    "qianfan.evaluation.local_evaluator": ["LocalJudgeEvaluator"],
    "qianfan.errors": [
        "QianfanError", "APIError", "RequestError", "InvalidArgumentError", "ArgumentNotFoundError", "InternalError",
        "RequestTimeoutError", "AccessTokenExpiredError", "NotImplmentError", "AuthError", "BearerTokenExpiredError",
        "ValidationError", "QianfanRequestError", "FileSizeOverflow",
    ],
    "qianfan.model": ["Model", "Service", "DeployConfig"],
    "qianfan.model.configs": ["DeployConfig"],
    "qianfan.model.consts": ["ModelCompStrategy", "ModelQuantizationWeight", "ServiceType"],
    "qianfan.resources": [
        "Charge", "ChatCompletion", "Completion", "Data", "Embedding", "Image2Text", "Model", "Plugin", "QfMessages",
        "QfResponse", "QfRole", "Reranker", "Service", "Text2Image", "Tokenizer",
    ],
    "qianfan.resources.console.charge": ["Charge"],
    "qianfan.resources.console.data": ["Data"],
    "qianfan.resources.console.eval": ["Eval"],
    "qianfan.resources.console.model": ["Model"],
    "qianfan.resources.console.service": ["Service"],
    "qianfan.resources.llm": [
        "BatchRequestFuture", "ChatCompletion", "Completion", "Embedding", "Image2Text", "Plugin",
        "Reranker", "Text2Image",
    ],
    "qianfan.resources.typing": ["QfLLMInfo", "QfMessages", "QfRequest", "QfResponse", "QfRole"],
    "qianfan.resources.typing_client": [
        "ChatCompletionMessage", "Choice", "ChoiceDelta", "CompletionChunk", "CompletionUsage", "ToolCall",
    ],
    "qianfan.resources.console": ["consts"],
    "qianfan.resources.rate_limiter": ["RedisConnectionInfo"],
    "qianfan.resources.console.consts": [
        "DeployPoolType", "DataTemplateType", "DataStorageType", "ModelCompStrategy", "ModelQuantizationWeight",
    ],
    "qianfan.trainer": [
        "LLMFinetune", "Finetune", "PostPreTrain", "DPO", "KTO", "Trainer", "Event", "EventHandler", "BaseAction",
        "LoadDataSetAction", "TrainAction", "ModelPublishAction", "DeployAction", "EvaluateAction", "Model", "Service",
        "Pipeline",
    ],
    "qianfan.trainer.base": ["Pipeline", "Trainer", "BaseAction", "with_event", "EventHandler"],
    "qianfan.trainer.configs": [
        "TrainConfig", "DeployConfig", "DatasetConfig", "CorpusConfig", "CorpusConfigItem", "ResourceConfig",
        "ModelInfo", "TrainLimit", "ModelInfoMapping", "DefaultTrainConfigMapping", "PostPreTrainModelInfoMapping",
        "DefaultPostPretrainTrainConfigMapping", "DPOTrainModelInfoMapping", "DefaultDPOTrainConfigMapping",
        "KTOTrainModelInfoMapping", "DefaultKTOTrainConfigMapping", "PeftType",
        "get_trainer_model_list", "get_default_train_config", "get_model_info",
    ],
    "qianfan.trainer.consts": [
        "ActionState", "ServiceType", "TrainStatus", "FinetuneStatus", "ServiceStatus", "PeftType",
    ],
    "qianfan.trainer.actions": [
        "LoadDataSetAction", "TrainAction", "ModelPublishAction", "DeployAction", "EvaluateAction",
        "BatchInferAction",
    ],
    "qianfan.trainer.event": ["Event", "EventHandler", "dispatch_event"],
    "qianfan.trainer.finetune": ["LLMFinetune", "Finetune"],
    "qianfan.trainer.dpo": ["DPO"],
    "qianfan.trainer.kto": ["KTO"],
    "qianfan.trainer.model": ["Model", "Service", "DeployConfig"],
    "qianfan.trainer.pipeline": ["Pipeline"],
    "qianfan.trainer.post_pretrain": ["PostPreTrain"],
    "qianfan.trainer.trainer": ["Trainer"],
    "qianfan.utils": ["enable_log", "disable_log"],
    "qianfan.utils.bos_uploader": ["BosHelper", "is_valid_bos_path", "parse_bos_path"],
    "qianfan.utils.logging": ["enable_log", "disable_log"],
}  # fmt: skip


CONSOLE_CLASSES = {"Model", "Service"}
"""The console's calls have the names of what is trained and deployed, as documented; they are other classes."""


@pytest.mark.parametrize("module", DOCUMENTED)
def test_documented_names_are_there(module: str) -> None:
    loaded = importlib.import_module(module)
    missing = [name for name in DOCUMENTED[module] if not hasattr(loaded, name)]
    assert missing == []


def test_a_name_with_two_homes_is_one_object() -> None:
    homes: dict[str, dict[str, object]] = {}
    for module, names in DOCUMENTED.items():
        for name in names:
            known = f"console {name}" if name in CONSOLE_CLASSES and module.startswith("qianfan.resources") else name
            homes.setdefault(known, {})[module] = getattr(importlib.import_module(module), name)
    different = {name: list(found) for name, found in homes.items() if len({id(value) for value in found.values()}) > 1}
    assert different == {}


def test_older_and_newer_names_are_one_class() -> None:
    from qianfan.trainer import Finetune, LLMFinetune
    from qianfan.trainer.consts import FinetuneStatus, TrainStatus

    assert LLMFinetune is Finetune
    assert FinetuneStatus is TrainStatus


def run_python(code: str, *arguments: str) -> str:
    """Output of a fresh interpreter."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_qianfan_loads_and_opens_nothing() -> None:
    """No httpx, no pydantic, no thread, no socket, no file of the user's."""
    code = """
import builtins, io, socket, sys, threading
opened = []
sys.addaudithook(lambda event, args: opened.append((event, args)) if event in ("socket.__new__", "open") else None)
before = threading.active_count()
import qianfan
heavy = [name for name in ("httpx", "pydantic", "anyio", "starlette", "typer", "rich") if name in sys.modules]
assert heavy == [], heavy
assert threading.active_count() == before
strange = [args[0] for event, args in opened if event == "socket.__new__" or not str(args[0]).endswith((".py", ".pyc"))]
assert strange == [], strange
print("ok")
"""
    assert run_python(code) == "ok"


def test_importing_the_trainer_starts_no_thread_and_opens_no_socket() -> None:
    code = """
import sys, threading
sockets = []
sys.addaudithook(lambda event, args: sockets.append(args) if event == "socket.__new__" else None)
from qianfan.trainer import LLMFinetune
from qianfan.dataset import Dataset
assert threading.active_count() == 1
assert sockets == []
assert not any(name in sys.modules for name in ("starlette", "uvicorn", "typer"))
print("ok")
"""
    assert run_python(code) == "ok"


def test_lazy_names_are_complete() -> None:
    assert set(qianfan.__all__) <= set(dir(qianfan))
    for name in qianfan.__all__:
        assert getattr(qianfan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = qianfan.nonsense  # type: ignore[attr-defined]


def test_lazy_names_and_names_for_type_checkers_are_the_same() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert declared == set(qianfan.__all__) - {"__version__"}


FIRST_IN_A_CHILD = """
import os, sys, traceback
import anyio, httpx, pydantic, yaml  # which take most of the time, and know nothing of qianfan

for module in sys.argv[1:]:
    if os.fork() == 0:
        try:
            __import__(module)
        except BaseException:
            print(module, traceback.format_exc(), flush=True)
        os._exit(0)
    os.wait()
print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it takes a process for each module")
def test_every_module_can_be_the_first_to_be_imported() -> None:
    """No order of imports is needed, so there is no circle that only luck avoids."""
    assert run_python(FIRST_IN_A_CHILD, *sorted(DOCUMENTED)) == "ok"


# --- layers -----------------------------------------------------------------------------------------------------

LAYERS = [
    {
        "errors",
        "utils",
        "_types",
        "_retry",
        "_sync",
        "_bell",
        "_loops",
        "_clock",
        "_local",
        "_lazy",
        "_strict",
        "_faults",
        "_outcome",
    },
    {"pipeline"},
    {"journal"},
    {"config", "_auth"},
    {"_transport"},
    {"resources"},
    {"dataset", "model"},
    {"evaluation"},
    {"trainer"},
    {"cli", "__init__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


BESIDE = {"engines": {"engines"}, "emulator": {"emulator", "engines"}}
"""These stand beside the stack: the platform's side of the wire shares no schema with the client."""


def imports_of(file: Path) -> set[str]:
    """First part of every qianfan module that a file imports, at run time or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "qianfan":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names} - {"__version__"}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("qianfan.")}
    return found


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(file for file in PACKAGE.rglob("*.py"))


def test_every_part_of_the_package_has_its_layer() -> None:
    assert {part_of(file) for file in FILES} == set(LEVEL) | {"emulator", "engines"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_down(file: Path) -> None:
    part, imported = part_of(file), imports_of(file)
    if part in BESIDE:
        assert imported <= LAYERS[0] | BESIDE[part]
        return
    if part != "cli":
        assert not imported & set(BESIDE)
    assert {name for name in imported - {"emulator"} if LEVEL[name] > LEVEL[part]} == set()


def test_httpx_stops_at_the_transport() -> None:
    users = {
        str(file.relative_to(PACKAGE))
        for file in FILES
        if any(
            (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "httpx" for alias in node.names))
            or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "httpx")
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        )
    }
    # The emulator has the other end of the wire, and asks models that are served elsewhere.
    emulator = {"emulator/transport.py", "emulator/training/addresses.py"}
    assert {user for user in users if not user.startswith("_transport/")} == emulator


def test_threads_stop_at_sync() -> None:
    """Only `_sync` crosses between threads, and the journal has the one that writes; locks are another matter.

    Engines are processes of their own.
    """
    users = {
        str(file.relative_to(PACKAGE))
        for file in FILES
        if part_of(file) not in BESIDE
        and any(word in file.read_text(encoding="utf-8") for word in ("from_thread", "to_thread", "threading.Thread("))
    }
    assert users == {"_sync.py", "journal/_writer.py"}
