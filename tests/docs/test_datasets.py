"""What the pages about datasets list is what there is."""

from __future__ import annotations

import re

import pytest

from qianfan.dataset import FormatType
from qianfan.dataset.checking import RULES
from qianfan.dataset.shapes import SHAPES
from tests.docs.pages import ROOT, Page

BOTH = ("", ".zh")


def first_cells(page: str) -> list[str]:
    """The names in the first column of the tables of a page."""
    rows = re.findall(r"^\| (`[^|]*`) \|", Page(ROOT / "docs" / page).text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("language", BOTH)
def test_every_rule_is_explained(language: str) -> None:
    listed = [name for name in first_cells(f"datasets-check{language}.md") if not name.startswith("report.")]
    assert listed == [
        rule.name for severity in ("error", "warning") for rule in RULES.values() if rule.severity == severity
    ]


def test_rules_are_explained_in_their_own_words() -> None:
    text = Page(ROOT / "docs" / "datasets-check.md").text
    for rule in RULES.values():
        assert f"| `{rule.name}` | {rule.about} | {rule.fix} |" in text


@pytest.mark.parametrize("language", BOTH)
def test_every_kind_of_file_and_every_shape_is_listed(language: str) -> None:
    listed = [name for name in first_cells(f"datasets-shapes{language}.md") if name not in ("file_format", "format")]
    formats = [member.value for member in FormatType]
    assert sorted(listed) == sorted([*formats, *SHAPES])
