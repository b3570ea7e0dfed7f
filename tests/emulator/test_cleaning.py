"""What the operators of a cleaning make of texts, and which rows they drop."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.emulator.cleaning import clean, measures, order_of
from qianfan.emulator.cleaning.operators import CHANGES, FILTERS
from qianfan.emulator.refusals import Refused
from qianfan.emulator.scans import Unit
from qianfan.emulator.templates import Template, template_of

TEXT, DIALOGUE = template_of("Text"), template_of("PromptResponse")
assert TEXT is not None
assert DIALOGUE is not None


def cleaned(texts: list[str], stage: str, *names: str, **args: float) -> list[str]:
    """The texts that are left, by operators of one stage."""
    assert TEXT is not None
    order = order_of({stage: [{"name": name, "args": args} for name in names]})
    units = [Unit("rows.jsonl", json.dumps(text).encode()) for text in texts]
    return [json.loads(unit.content) for unit in clean(units, TEXT, order).units]


@pytest.mark.parametrize(
    ("stage", "name", "before", "after"),
    [
        ("clean", "remove_emoji", "好😀的 👩‍👩‍👧 ok ❤️ 👍🏽!", "好的  ok  !"),
        ("clean", "remove_invisible_character", "a\u200bb\x00c\ufeffd\te\nf", "abcd\te\nf"),
        ("clean", "replace_uniform_whitespace", "a\u3000b\u00a0c\u2009d\n", "a b c d\n"),
        ("clean", "remove_non_meaning_characters", "a\ufffdb\ue000c", "abc"),
        ("clean", "replace_traditional_chinese_to_simplified", "體驗國語與電腦，書", "体验国语与电脑，书"),
        (
            "clean",
            "remove_web_identifiers",
            "<p class='x'>a&amp;b</p> see https://x.cn/y?z=1，好 <3",
            "a b see ，好 <3",
        ),
        ("desensitization", "replace_emails", "to a.b+c@mail.example.com.", "to <EMAIL>."),
        (
            "desensitization",
            "replace_ip",
            "from 192.168.1.254 not 999.1.1.1 nor 1.2.3",
            "from <IP> not 999.1.1.1 nor 1.2.3",
        ),
        ("desensitization", "replace_ip", "2001:0db8:0000:0000:0000:ff00:0042:8329", "<IP>"),
        (
            "desensitization",
            "replace_identifier",
            "id 11010519491231002X, phone 13812345678, card 6222021234567890123, year 2024",
            "id <ID>, phone <ID>, card <ID>, year 2024",
        ),
    ],
)
def test_what_becomes_of_a_text(stage: str, name: str, before: str, after: str) -> None:
    assert cleaned([before], stage, name) == [after]
    assert cleaned([after], stage, name) == [after]


@given(text=st.text(min_size=1).filter(str.strip))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    for changes in CHANGES.values():
        for name, change in changes.items():
            # What surrounds a piece that was taken out may be another one: `<a<b>>`.
            once = change(text)
            assert len(change(once)) <= len(once), name


LONG = "the quick brown fox jumps over the lazy dog and runs away into the dark forest before night falls"


@pytest.mark.parametrize(
    ("name", "args", "kept", "dropped"),
    [
        ("filter_check_number_words", {"number_words_min_cutoff": 3, "number_words_max_cutoff": 5}, "a b c", "a b"),
        ("filter_check_number_words", {"number_words_max_cutoff": 5}, "三四五", "一二三四五六"),
        ("filter_check_word_repetition_removal", {"word_repetition_max_cutoff": 0.3}, LONG, "a b c d e " * 5),
        (
            "filter_check_character_repetition_removal",
            {"default_character_repetition_max_cutoff": 0.3},
            LONG,
            "ha" * 40,
        ),
        ("filter_check_special_characters", {"special_characters_max_cutoff": 0.3}, "well, yes", "?!#$ no %^&*"),
        ("filter_check_flagged_words", {"flagged_words_max_cutoff": 0.1}, LONG, "casino casino now"),
        ("filter_check_lang_id", {"lang_id_min_cutoff": 0.6}, "中文 and English", "только по-русски"),
    ],
)
def test_which_rows_are_dropped(name: str, args: dict[str, float], kept: str, dropped: str) -> None:
    assert cleaned([dropped, kept], "filter", name, **args) == [kept]


def test_rows_unlike_the_others_are_perplexing() -> None:
    alike = [f"the weather in spring is mild and the days grow longer, year {n}" for n in range(20)]
    odd = "qzxj wvkp zzqj xkcd vwqz"
    model = measures.Perplexity([*alike, odd])
    limit = (model.of(odd) + max(map(model.of, alike))) / 2
    assert model.of(odd) > 2 * max(map(model.of, alike))
    assert cleaned([*alike, odd], "filter", "filter_check_perplexity", perplexity_max_cutoff=limit) == alike


@pytest.mark.parametrize(("distance", "left"), [(0, 3), (3, 2), (64, 1)])
def test_rows_that_are_nearly_the_same(distance: int, left: int) -> None:
    """Of two the first stays; with a greater distance more rows count as the same."""
    texts = [LONG * 10, LONG * 10, LONG * 10 + " indeed", "something else entirely, about trains and ships"]
    found = cleaned(texts, "deduplication", "deduplication_simhash", distance=distance)
    assert (found[0], len(found)) == (texts[0], left)


@given(texts=st.lists(st.text(max_size=30).filter(str.strip), max_size=12), distance=st.integers(0, 64))
def test_parts_of_hashes_find_what_comparing_all_finds(texts: list[str], distance: int) -> None:
    kept: list[int] = []
    for text in texts:
        own = measures.simhash(text)
        if all((own ^ other).bit_count() > distance for other in kept):
            kept.append(own)
    found = cleaned(texts, "deduplication", "deduplication_simhash", distance=distance)
    assert [measures.simhash(text) for text in found] == kept


@given(text=st.text())
def test_measures_stay_within_their_limits(text: str) -> None:
    ratios = [measures.character_repetition, measures.word_repetition, measures.special_characters]
    for measure in [*ratios, measures.flagged_words, measures.language]:
        assert 0 <= measure(text) <= 1
    assert measures.Perplexity([text]).of(text) >= 1


def test_rows_go_through_the_stages_in_order() -> None:
    """Every text of a dialogue is cleaned, and a row that does not fit its template any more is dropped."""
    rows: list[Any] = [
        [{"system": "s😀", "prompt": "mail a@b.cn", "response": [["好😀"]], "weight": 1}],
        [{"prompt": "😀", "response": [["nothing is left of the question"]]}],
    ]
    order = order_of(
        {
            "desensitization": [{"name": "replace_emails"}],
            "clean": [{"name": "remove_emoji", "args": {}}],
            "filter": [],
        }
    )
    assert list(order) == ["clean", "filter", "desensitization"]
    assert DIALOGUE is not None
    units = [Unit("rows.jsonl", json.dumps(row).encode()) for row in rows]
    done = clean(units, DIALOGUE, order)
    [row] = [json.loads(unit.content) for unit in done.units]
    assert row == [{"system": "s", "prompt": "mail <EMAIL>", "response": [["好"]], "weight": 1}]
    assert done.stages["clean"] == {
        "status": 2,
        "operator_count": 1,
        "entity_match_count": 2,
        "each_operator_result": [{"name": "remove_emoji", "remaining_count": 1, "drop_count": 1}],
    }
    assert done.stages["filter"]["operator_count"] == 0


def test_every_operator_of_the_platform_is_there() -> None:
    names = {stage: {*CHANGES.get(stage, {}), *FILTERS.get(stage, {})} for stage in {*CHANGES, *FILTERS}}
    assert {stage: len(known) for stage, known in names.items()} == {
        "clean": 6,
        "filter": 7,
        "deduplication": 1,
        "desensitization": 3,
    }


@pytest.mark.parametrize("value", ["3", None, -1, True])
def test_limits_that_are_none(value: Any) -> None:
    args = {"lang_id_min_cutoff": value}
    with pytest.raises(Refused, match="a number from 0 up"):
        order_of({"filter": [{"name": "filter_check_lang_id", "args": args}]})


def test_a_text_in_a_file_of_its_own_stays_one() -> None:
    assert isinstance(TEXT, Template)
    order = order_of({"clean": [{"name": "remove_emoji"}]})
    [unit] = clean([Unit("0.txt", "好😀\n的".encode(), whole=True)], TEXT, order).units
    assert (unit.content.decode(), unit.whole) == ("好\n的", True)
