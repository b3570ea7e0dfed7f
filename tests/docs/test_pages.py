"""What the pages say agrees: between the languages, with the files they link to, and with the code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from qianfan import errors
from qianfan.config import PREFIX, Settings
from tests.docs.pages import ROOT, Page, pages, pages_in_two_languages

LANGUAGES = {"python", "shell", "yaml", "json", "text", "toml"}


def by_name(page: Page) -> str:
    return page.name


# --- two languages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages_in_two_languages(), ids=by_name)
def test_a_page_exists_in_both_languages(page: Page) -> None:
    assert page.twin.exists()


@pytest.mark.parametrize("page", pages_in_two_languages(), ids=by_name)
def test_both_languages_hold_the_same_code(page: Page) -> None:
    twin = Page(page.twin)
    assert [(b.language, b.essence) for b in page.blocks] == [(b.language, b.essence) for b in twin.blocks]
    assert [b.not_run is None for b in page.blocks] == [b.not_run is None for b in twin.blocks]


@pytest.mark.parametrize("page", pages_in_two_languages(), ids=by_name)
def test_both_languages_have_the_same_parts(page: Page) -> None:
    """As many headings of each level, and as many table rows."""
    assert _shape(page) == _shape(Page(page.twin))


def _shape(page: Page) -> list[str]:
    return [match[0] for match in re.finditer(r"^(#+ |\|)", page.prose, re.MULTILINE)]


# --- links and languages of blocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages(), ids=by_name)
def test_local_links_resolve(page: Page) -> None:
    targets = [link.partition("#")[0] for link in page.links if not urlsplit(link).scheme]
    missing = [target for target in targets if target and not (page.path.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", pages(), ids=by_name)
def test_every_block_names_a_language_that_is_checked(page: Page) -> None:
    assert {block.language for block in page.blocks} <= LANGUAGES


def test_the_site_shows_every_page() -> None:
    site = _site()
    shown = {entry if isinstance(entry, str) else next(iter(entry.values())) for entry in site["nav"]}
    docs = ROOT / "docs"
    every = [page.path for page in pages_in_two_languages() if page.path.is_relative_to(docs)]
    assert shown == {path.relative_to(docs).as_posix() for path in every}


def _site() -> Any:
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


# --- facts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["configuration.md", "configuration.zh.md"])
def test_every_setting_is_listed_with_its_default(name: str) -> None:
    rows = re.findall(r"^\| `QIANFAN_(\w+)` \|(?: `(.*?)`)? \|", Page(ROOT / "docs" / name).text, re.MULTILINE)
    assert dict(rows) == {field.upper(): _written(info.default) for field, info in Settings.model_fields.items()}


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_settings_in_the_overview_exist_and_have_that_default(name: str) -> None:
    rows = re.findall(
        r"^\| `QIANFAN_(\w+)`(?:, `QIANFAN_(\w+)`)? \|(?: `(.*?)`)? \|", Page(ROOT / name).text, re.MULTILINE
    )
    assert rows
    for *variables, default in rows:
        for variable in filter(None, variables):
            assert _written(Settings.model_fields[variable.lower()].default) == default


def _written(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, frozenset):
        return ",".join(map(str, sorted(default)))
    return "" if default is None else str(default)


@pytest.mark.parametrize("page", pages(), ids=by_name)
def test_variables_that_are_named_exist(page: Page) -> None:
    named = set(re.findall(rf"\b{PREFIX}([A-Z][A-Z_]*[A-Z])\b", page.text))
    assert named <= {field.upper() for field in Settings.model_fields} | {"DOT_ENV_CONFIG_FILE", "FAULTS"}


@pytest.mark.parametrize("name", ["errors.md", "errors.zh.md"])
def test_the_error_tree_is_the_code_s(name: str) -> None:
    [tree] = [block for block in Page(ROOT / "docs" / name).blocks if block.language == "text"]
    drawn = [
        (len(line) - len(line.lstrip("│├└─ ")), line.lstrip("│├└─ ").split()[0]) for line in tree.code.splitlines()
    ]
    parents = dict(_parents(drawn))
    classes: Mapping[str, type[Any]] = {
        kind.__name__: kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    }
    assert parents == {kind: classes[kind].__bases__[0].__name__ for kind in classes if kind != "QianfanError"}


def _parents(drawn: list[tuple[int, str]]) -> list[tuple[str, str]]:
    """Each drawn name with the one it hangs from."""
    above: list[tuple[int, str]] = drawn[:1]
    found: list[tuple[str, str]] = []
    for depth, name in drawn[1:]:
        above = [one for one in above if one[0] < depth]
        found.append((name, above[-1][1]))
        above.append((depth, name))
    return found


def test_nothing_in_the_site_points_elsewhere() -> None:
    """Pages of the site link only to pages of the site."""
    docs = ROOT / "docs"
    for page in pages():
        if page.path.is_relative_to(docs):
            local = [page.path.parent / link.partition("#")[0] for link in page.links if ":" not in link]
            assert not [path for path in local if not path.resolve().is_relative_to(docs)]
