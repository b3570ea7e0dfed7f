"""Every model of an answer: what is read from the wire, written as the wire has it, reads the same again."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import qianfan.resources
from qianfan.resources._base import Page, WireModel
from tests.support.roundtrip import round_trips


def every_model() -> list[type[WireModel]]:
    """The models of all modules below `qianfan.resources`, but the bases that only others derive from."""
    found: set[type[WireModel]] = set()
    for entry in pkgutil.walk_packages(qianfan.resources.__path__, "qianfan.resources."):
        module = importlib.import_module(entry.name)
        found |= {
            model
            for _, model in inspect.getmembers(module, inspect.isclass)
            if issubclass(model, WireModel) and model.__module__ == module.__name__
        }
    return sorted(found - {WireModel, Page}, key=lambda model: model.__qualname__)


@pytest.mark.parametrize("model", every_model(), ids=lambda model: model.__name__)
def test_an_answer_reads_the_same_again(model: type[WireModel]) -> None:
    round_trips(model)
