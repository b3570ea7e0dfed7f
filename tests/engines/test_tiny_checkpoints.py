"""Folders of models: what is kept, what is published, and what cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qianfan.engines.backend import EngineError
from qianfan.engines.spec import Checkpoint, Manifest
from tests.engines.tiny_runs import Run, Runs, answer, dialogues, exact, pairs

QUESTION = "Who owns box number 0?"


def kept(run: Run) -> list[int]:
    return sorted(int(folder.name) for folder in (run.spec.folder / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("asked", "told", "lie_there"),
    [
        ({}, [60], [60]),
        ({"saveStep": 25, "checkpointCount": 5}, [25, 50, 60], [25, 50, 60]),
        ({"saveStep": 25, "checkpointCount": 2}, [25, 50, 60], [50, 60]),
        ({"saveStep": 30, "checkpointCount": 1}, [30, 60], [60]),
        ({"saveStep": 64}, [60], [60]),
        ({"checkpointSaveStrategy": "epoch", "checkpointCount": 3}, list(range(2, 61, 2)), [56, 58, 60]),
    ],
)
def test_checkpoints(runs: Runs, asked: dict[str, object], told: list[int], lie_there: list[int]) -> None:
    run = runs.train(runs.spec(dialogues(16), asked=asked))
    checkpoints = run.all(Checkpoint)
    assert [checkpoint.step for checkpoint in checkpoints] == told
    assert kept(run) == lie_there
    assert all(checkpoint.path == run.spec.folder / "checkpoints" / str(checkpoint.step) for checkpoint in checkpoints)


@pytest.mark.parametrize("scale", ["FullFineTuning", "LoRA"])
def test_each_checkpoint_is_a_model(runs: Runs, scale: str) -> None:
    run = runs.train(runs.spec(dialogues(24), scale=scale, asked={"saveStep": 10, "checkpointCount": 10}))
    early, late = (runs.load(checkpoint.path) for checkpoint in (run.all(Checkpoint)[0], run.last))
    assert answer(early, QUESTION) != answer(late, QUESTION) == "The red one owns it."
    assert exact(early, pairs(24)) < exact(late, pairs(24))


def test_a_published_model_says_what_it_is(runs: Runs) -> None:
    run = runs.train(runs.spec(dialogues(8), scale="LoRA"))
    manifest, folder = runs.publish(run.last.path)
    assert Manifest.model_validate_json((folder / "manifest.json").read_bytes()) == manifest
    assert (manifest.engine, manifest.mode, manifest.base) == ("tiny", "SFT", "a model from scratch")
    assert manifest.parameters == run.plan.parameters
    assert not list(folder.parent.glob("*.part"))


def test_a_model_stays_when_its_checkpoint_goes(runs: Runs) -> None:
    run = runs.train(runs.spec(dialogues(8)))
    _, folder = runs.publish(run.last.path)
    before = answer(runs.backend.load(folder), QUESTION)
    shutil.rmtree(run.spec.folder)
    assert answer(runs.backend.load(folder), QUESTION) == before


def test_what_was_left_half_written_is_no_hindrance(runs: Runs) -> None:
    run = runs.train(runs.spec(dialogues(8)))
    _, folder = runs.publish(run.last.path)
    half = folder.with_name("again.part")
    half.mkdir()
    (half / "weights.npz").write_bytes(b"half")
    spec = run.spec.model_copy(update={"folder": runs.new_folder()})
    (spec.folder / "checkpoints" / "30.part").mkdir(parents=True)
    assert runs.train(spec).last.path.is_dir()


def test_a_folder_that_is_there_is_not_written_over(runs: Runs, tmp_path: Path) -> None:
    run = runs.train(runs.spec(dialogues(8)))
    _, folder = runs.publish(run.last.path)
    from qianfan.engines.spec import PublishSpec

    with pytest.raises(EngineError, match="is there already"):
        runs.backend.publish(PublishSpec(engine="tiny", checkpoint=run.last.path, into=folder, model="m"))


@pytest.mark.parametrize("broken", ["weights.npz", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("how", ["missing", "cut off"])
def test_what_is_no_model(runs: Runs, broken: str, how: str) -> None:
    path = runs.train(runs.spec(dialogues(4))).last.path
    file = path / broken
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:40])
    for use in (runs.load, lambda folder: runs.train(runs.spec(dialogues(4), checkpoint=folder))):
        with pytest.raises(EngineError, match="holds no model of the engine tiny") as refused:
            use(path)
        assert refused.value.code == "unreadable_model"
