"""Evaluations of services: what is asked, what comes out, and what one bad row does to the others."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from qianfan.dataset import Dataset
from qianfan.emulator import Emulator
from qianfan.errors import (
    ArgumentNotFoundError,
    AuthError,
    InvalidArgumentError,
    UnknownArgumentError,
    ValidationError,
)
from qianfan.evaluation import (
    EvaluationManager,
    EvaluationResult,
    ExactMatchEvaluator,
    LocalEvaluator,
    SimilarityEvaluator,
)
from qianfan.model import Model, Service
from tests.evaluation.judges import Length, Patient, Picky

pytestmark = pytest.mark.anyio

faces = pytest.mark.parametrize("face", ["sync", "async"])


def rows(*questions: str) -> Dataset:
    return Dataset.create_from_pyobj([[{"prompt": one, "response": [[f"answer to {one}"]]}] for one in questions])


async def evaluated(
    face: str, llms: Any, dataset: Dataset, evaluators: Sequence[LocalEvaluator], **settings: Any
) -> EvaluationResult:
    manager = EvaluationManager(local_evaluators=evaluators)
    if face == "async":
        return await manager.aeval(llms, dataset, **settings)
    return await anyio.to_thread.run_sync(lambda: manager.eval(llms, dataset, **settings))


@faces
async def test_rows_come_out_in_order_with_what_every_evaluator_said(face: str, service: Service) -> None:
    questions = [f"question {number}" for number in range(25)]
    progress: list[tuple[int, int]] = []
    result = await evaluated(
        face,
        [service],
        rows(*questions),
        [Length(limit=3), Patient(), SimilarityEvaluator()],
        on_progress=lambda done, total: progress.append((done, total)),
        download_when_doing_online=True,
    )
    table = result.result_dataset
    assert table["input"] == questions
    assert table["reference"] == [f"answer to {one}" for one in questions]
    assert all(row["output"].endswith(row["input"]) for row in table)
    assert all(row["length"] == len(row["output"]) and row["short"] is False for row in table)
    assert progress == [(done, 25) for done in range(1, 26)]
    assert result.metrics == {"ERNIE-Speed-8K": result.summary}
    assert result.summary["patience"] == 1.0
    assert result.summary["short"] == 0.0
    assert list(result.summary) == ["length", "short", "patience", "BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L"]


async def test_the_turns_before_and_the_system_text_are_sent_and_shown(emulator: Emulator, service: Service) -> None:
    dialogue = [
        {"system": "be short", "prompt": "one", "response": [["1"]]},
        {"prompt": "two", "response": [["2"], ["zwei"]]},
    ]
    result = await evaluated("async", [service], Dataset.create_from_pyobj([dialogue]), [Length()], temperature=0.5)
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
    ]
    body = emulator.requests[-1].body
    assert (body["messages"], body["system"], body["temperature"]) == (messages, "be short", 0.5)
    [row] = result.result_dataset
    assert (row["input"], row["reference"]) == (messages, "2")


async def test_other_kinds_of_rows(service: Service) -> None:
    queries = Dataset.create_from_pyobj([{"prompt": "why"}])
    [row] = (await evaluated("async", [service], queries, [Length()])).result_dataset
    assert (row["input"], row["reference"]) == ("why", "")
    preferences = Dataset.create_from_pyobj([[{"user": "why", "chosen": "so", "rejected": "no"}]])
    [row] = (await evaluated("async", [service], preferences, [Length()])).result_dataset
    assert (row["input"], row["reference"]) == ("why", "so")


async def test_several_models_are_told_apart(service: Service) -> None:
    other = Service(model="ERNIE-Lite-8K", service_type="Chat")
    result = await evaluated("async", [service, other, service], rows("a", "b"), [Length()])
    names = ["ERNIE-Speed-8K", "ERNIE-Lite-8K", "ERNIE-Speed-8K (3)"]
    assert list(result.metrics) == names
    assert result.result_dataset["llm"] == [name for name in names for _ in "ab"]


@faces
async def test_a_row_that_gets_no_answer_is_noted_and_the_others_go_on(
    face: str, emulator: Emulator, service: Service
) -> None:
    emulator.faults.add("chat", nth=2, code=336103, message="too long")
    result = await evaluated(face, [service], rows("a", "b", "c"), [Length()], at_once=1)
    assert [row["output"] is None for row in result.result_dataset] == [False, True, False]
    [failed] = result.result_dataset.failed
    assert failed["input"] == "b"
    assert "no answer: " in failed["error"]
    assert "too long" in failed["error"]
    assert "1 with errors" in str(result)


@faces
async def test_an_evaluator_that_fails_for_a_row_loses_only_that(face: str, service: Service) -> None:
    result = await evaluated(face, [service], rows("good", "bad", "fine"), [Picky(word="bad"), Length()])
    table = result.result_dataset
    assert table["picked"] == [1, None, 1]
    assert table["error"] == [None, "Picky: division by zero", None]
    assert all(length > 0 for length in table["length"])
    assert result.summary["picked"] == 1.0


async def test_when_no_row_can_be_judged_the_error_comes_out(emulator: Emulator, service: Service) -> None:
    with pytest.raises(ZeroDivisionError):
        await evaluated("async", [service], rows("bad", "bad"), [Picky(word="bad")])
    with pytest.raises(InvalidArgumentError, match="no answer to compare with"):
        await evaluated("async", [service], Dataset.create_from_pyobj([{"prompt": "why"}]), [SimilarityEvaluator()])


async def test_refused_keys_end_the_evaluation_at_once(emulator: Emulator, service: Service) -> None:
    emulator.faults.add("chat", times=None, code=14, message="IAM certification failed")
    with pytest.raises(AuthError):
        await evaluated("async", [service], rows(*"abcdefgh"), [Length()], at_once=2)
    assert emulator.count("chat") <= 4


async def test_a_plain_evaluator_judges_one_row_at_a_time_beside_the_event_loop(service: Service) -> None:
    class Counting(LocalEvaluator):
        def __init__(self) -> None:
            self.inside = self.most = 0

        def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.inside -= 1
            return {"apart": threading.get_ident() != loop_thread}

    loop_thread = threading.get_ident()
    counting = Counting()
    result = await evaluated("async", [service], rows(*"abcdefgh"), [counting])
    assert counting.most == 1
    assert all(result.result_dataset["apart"])


async def test_names_that_are_taken_get_the_evaluators_position(service: Service) -> None:
    class Rude(LocalEvaluator):
        def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
            return {"output": 1, "length": -1}

    result = await evaluated("async", [service], rows("a"), [Length(), Rude()])
    [row] = result.result_dataset
    assert (row["output (2)"], row["length (2)"], row["length"]) == (1, -1, len(row["output"]))
    assert result.summary["length (2)"] == -1


async def test_summaries_of_ones_own_and_those_that_fail(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    class Own(Length):
        def summarize(self, dataset: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
            return {"longest": max(row["length"] for row in dataset), "asked": [row["input"] for row in dataset]}

    class Broken(Length):
        def summarize(self, dataset: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
            raise RuntimeError("no idea")

    class Silent(Length):
        def summarize(self, dataset: Sequence[Mapping[str, Any]]) -> None:
            return None

    result = await evaluated("async", [service], rows("a", "bb"), [Own(), Broken(), Silent()])
    assert result.summary == {"longest": max(result.result_dataset["length"]), "asked": ["a", "bb"]}
    assert "Broken cannot sum up: no idea" in caplog.text


async def test_numbers_of_other_libraries_become_plain_ones(service: Service) -> None:
    class Number:
        def item(self) -> float:
            return 0.5

    class Foreign(LocalEvaluator):
        def evaluate(self, input: Any, reference: str, output: str) -> Any:
            return {"half": Number()}

    class Wrong(LocalEvaluator):
        def evaluate(self, input: Any, reference: str, output: str) -> Any:
            return 0.5

    result = await evaluated("async", [service], rows("a"), [Foreign(), Wrong()])
    assert result.summary == {"half": 0.5}
    assert result.result_dataset["error"] == ["Wrong: an evaluator gives a dictionary of metrics, not float"]


async def test_exact_matches(service: Service) -> None:
    exact, folded = ExactMatchEvaluator(), ExactMatchEvaluator(ignore_case=True)
    assert exact.evaluate("", "Yes", " Yes\n") == {"exact_match": True}
    assert exact.evaluate("", "Yes", "yes") == {"exact_match": False}
    assert folded.evaluate("", "Yes", "yes") == {"exact_match": True}
    assert exact.summarize([{"exact_match": True}, {"exact_match": False}]) == {"exact_match": 0.5}
    assert SimilarityEvaluator().summarize([]) is None


async def test_a_result_prints_saves_and_comes_back_from_json(service: Service, tmp_path: Path) -> None:
    result = await evaluated("async", [service], rows("a", "b"), [Length()])
    assert str(result).splitlines()[0] == "Evaluation of 2 rows"
    assert [line.split()[0] for line in str(result).splitlines()[2:]] == ["length", "short"]
    assert repr(result).startswith("EvaluationResult(2 rows: length=")
    assert "<pre>" in result._repr_html_()
    assert EvaluationResult.model_validate(json.loads(result.model_dump_json())) == result
    table = result.result_dataset
    assert table[0]["input"] == "a"
    assert [row["input"] for row in table[:2]] == ["a", "b"]
    assert repr(table) == "ResultDataset(2 rows: llm, input, reference, output, length, short)"
    path = await table.asave(tmp_path / "rows.jsonl")
    assert [json.loads(line) for line in path.read_text().splitlines()] == table.to_pylist()
    with pytest.raises(KeyError, match="nonsense"):
        table["nonsense"]


async def test_what_cannot_be_evaluated_is_refused_before_anything_is_asked(
    emulator: Emulator, service: Service
) -> None:
    with pytest.raises(InvalidArgumentError, match="does not judge on the platform"):
        EvaluationManager(local_evaluators=[Length()], qianfan_evaluators=[object()])
    with pytest.raises(ArgumentNotFoundError, match="local_evaluators"):
        EvaluationManager()
    with pytest.raises(InvalidArgumentError, match="derive it from LocalEvaluator"):
        EvaluationManager(local_evaluators=[len])  # type: ignore[list-item]
    with pytest.raises(UnknownArgumentError, match="did you mean 'limit'"):
        Length(limits=3)
    with pytest.raises(UnknownArgumentError, match="Picky needs word"):
        Picky()

    async def refused(llms: Any, dataset: Dataset, match: str, **settings: Any) -> None:
        with pytest.raises((InvalidArgumentError, ValidationError), match=match):
            await evaluated("async", llms, dataset, [Length()], **settings)

    unfinished = [{"prompt": "a"}, {"prompt": "b", "response": [["c"]]}]
    await refused([service], Dataset.create_from_pyobj([unfinished], format="dialogue"), "without an answer")
    await refused([service], Dataset.create_from_pyobj(["a text"]), "asks nothing")
    await refused([service], Dataset.create_from_pyobj([]), "no rows")
    await refused([], rows("a"), "nothing to evaluate")
    await refused(["ERNIE"], rows("a"), "Model or a Service")
    await refused([Model()], rows("a"), "neither deployed nor published")
    await refused([Service()], rows("a"), "cannot be asked yet")
    await refused([Service(model="Embedding-V1", service_type="Embedding")], rows("a"), "Chat or a Completion")
    await refused([service], rows("a"), "at_once", at_once=0)
    assert emulator.requests == []


async def test_a_completion_service_is_asked_for_the_question_alone(emulator: Emulator) -> None:
    service = Service(model="SQLCoder-7B", service_type="Completion")
    dialogue = [{"prompt": "one", "response": [["1"]]}, {"prompt": "two", "response": [["2"]]}]
    dataset = Dataset.create_from_pyobj([dialogue, dialogue[:1]])
    result = await evaluated("async", [service], dataset, [Length()])
    assert emulator.requests[-1].body["prompt"] == "one"
    [failed] = result.result_dataset.failed
    assert "cannot be told the turns before" in failed["error"]
