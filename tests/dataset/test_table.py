"""Rows like a list and by columns: what each operation gives, and what it leaves as it is."""

from __future__ import annotations

import json
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.dataset import Dataset, Table
from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.rows import Conversation
from qianfan.dataset.sources import MemoryDataSource
from qianfan.errors import InvalidArgumentError, RowFunctionError, ValidationError

ROWS = [{"a": number, "b": f"{number}{number}"} for number in range(5)]
TURNS = [{"prompt": name, "response": [[name.upper()]]} for name in "abc"]
TALKS = [TURNS[:2], TURNS[2:]]
NEW, OTHER = ({"prompt": name, "response": [["x"]]} for name in "no")


def plain() -> Dataset:
    return Dataset.create_from_pyobj(ROWS)


def talks() -> Dataset:
    return Dataset.create_from_pyobj(TALKS)


def turns() -> Dataset:
    dataset = talks()
    assert dataset.unpack()
    return dataset


def numbers(table: Table) -> list[int]:
    return table["a"]


# --- reading ------------------------------------------------------------------------------------------------------


def test_rows_and_columns_of_a_table():
    table = Table(MemoryDataSource(ROWS))
    assert (len(table), table.row_number(), table.column_number(), table.col_names()) == (5, 5, 2, ["a", "b"])
    assert table[0] == table.list(0) == ROWS[0]
    assert table[-1] == ROWS[4]
    assert table[1:3] == table[(1, 2)] == ROWS[1:3]
    assert table[::-2] == ROWS[::-2]
    assert table.list() == table.to_pylist() == [*table] == ROWS
    assert table["a"] == table.list("a") == [0, 1, 2, 3, 4]
    assert table[["b", "a"]] == {"b": table["b"], "a": table["a"]}
    assert table.to_pydict() == table.col_list() == {"a": table["a"], "b": table["b"]}
    assert table.col_list(0) == table.col_list("a") == table.col_list(["a"]) == {"a": table["a"]}
    assert table[[]] == []
    assert repr(table) == "Table('rows in memory')"


def test_looking_at_the_first_rows_reads_no_others():
    dataset = Dataset.create_from_pyobj([*TALKS, []], format="dialogue")
    assert dataset.head(2) == TALKS
    with pytest.raises(ValidationError, match="row 3"):
        dataset.to_pylist()
    assert plain().head() == ROWS


def test_the_first_rows_are_there_without_counting_the_others(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in TALKS * 200), encoding="utf-8")
    dataset = Dataset.load(data_file=path).filter(lambda row: len(row) == 1)
    assert dataset[3] == dataset[3:4][0] == TALKS[1]
    assert "rows=not counted" in repr(dataset)
    assert dataset[150:152] == dataset[-2:] == [TALKS[1]] * 2
    assert len(dataset[150:]) == 50
    with pytest.raises(IndexError, match=r"row 200 of .*, which has 200"):
        dataset[200]


def test_a_column_is_as_long_as_there_are_rows_or_turns():
    rows = [{"a": 1}, {"b": 2}, {"a": 3, "b": None}]
    assert Dataset.create_from_pyobj(rows).to_pydict() == {"a": [1, None, 3], "b": [None, 2, None]}
    assert talks()["prompt"] == ["a", "b", "c"]
    assert Dataset.create_from_pyobj(["x", "y"]).to_pydict() == {"_pack": ["x", "y"]}
    assert plain().filter(lambda row: False)["a"] == []


@pytest.mark.parametrize(
    "read", [lambda table: table["z"], lambda table: table[["a", "z"]], lambda table: table.col_list(7)]
)
def test_a_column_that_is_not_there_is_named(read):
    with pytest.raises(KeyError, match="columns: a, b"):
        read(plain())


def test_rows_are_the_callers_own():
    dataset = plain()
    dataset.map(lambda row: (row.pop("a") and row) or row).to_pylist()
    assert dataset.create_from_pyobj(ROWS).to_pylist() == ROWS
    assert ROWS[1] == {"a": 1, "b": "11"}


# --- in place, or anew --------------------------------------------------------------------------------------------

OPERATIONS = {
    "map": lambda table, **how: table.map(lambda row: {"a": row["a"] + 1}, **how),
    "filter": lambda table, **how: table.filter(lambda row: row["a"] > 2, **how),
    "append": lambda table, **how: table.append({"a": 9}, **how),
    "insert": lambda table, **how: table.insert({"a": 9}, 0, **how),
    "delete": lambda table, **how: table.delete(0, **how),
    "take_slice": lambda table, **how: table.take_slice(1, 2, **how),
    "sample": lambda table, **how: table.sample(2, **how),
    "shuffle": lambda table, **how: table.shuffle(seed=1, **how),
    "dedup": lambda table, **how: table.dedup(lambda row: row["a"] // 2, **how),
    "concat_table": lambda table, **how: table.concat_table(plain(), **how),
    "select_columns": lambda table, **how: table.select_columns("b", **how),
    "col_delete": lambda table, **how: table.col_delete("a", **how),
    "col_renames": lambda table, **how: table.col_renames(["x", "y"], **how),
    "col_append": lambda table, **how: table.col_append({"c": ROWS}, **how),
    "col_insert": lambda table, **how: table.col_insert({"c": ROWS}, 1, **how),
    "col_map": lambda table, **how: table.col_map(lambda column: {"z": next(iter(column.values()))}, **how),
    "col_filter": lambda table, **how: table.col_filter(lambda column: "a" in column, **how),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_changes_the_table_or_leaves_it_as_it_is(name):
    kept, changed = plain(), plain()
    made = OPERATIONS[name](kept, should_create_new_obj=True)
    assert kept.to_pylist() == ROWS
    assert type(made) is Dataset
    if name != "sample":  # which is by chance
        assert made.to_pylist() != ROWS
        assert OPERATIONS[name](changed) is changed
        assert changed.to_pylist() == made.to_pylist()


def test_nothing_is_read_before_rows_are_asked_for():
    def fail(row):
        raise OSError("no")

    joined = Dataset.create_from_datasets([plain().map(fail), plain()])
    mixed = Dataset.mix([joined, plain()], input_columns=["a"])
    assert mixed.input_columns == ["a"]
    table = mixed.filter(fail).map(fail).take_slice(0, 1)
    assert repr(table).startswith("Dataset(source='rows in memory")
    with pytest.raises(RowFunctionError, match=r"row \d: fail\(\) failed: OSError: no") as caught:
        table.to_pylist()
    assert isinstance(caught.value.__cause__, OSError)


# --- rows ---------------------------------------------------------------------------------------------------------


def test_map_and_filter():
    assert plain().map(lambda row: {"x": row["a"] * 2}).to_pylist() == [{"x": 2 * number} for number in range(5)]
    assert plain().filter(lambda row: row["a"] > 2).to_pylist() == ROWS[3:]
    questions = [{"question": "1+1", "answer": "2"}]
    renamed = Dataset.create_from_pyobj(questions).map(
        lambda row: {"prompt": row["question"], "response": row["answer"]}
    )
    assert renamed.to_pylist() == [[{"prompt": "1+1", "response": [["2"]]}]]
    assert renamed.template_type is DataTemplateType.NonSortedConversation


def test_a_slice_goes_up_to_its_end():
    assert numbers(plain().take_slice(1, 3)) == [1, 2, 3]
    assert numbers(plain().take_slice()) == [0, 1, 2, 3, 4]
    assert numbers(plain().take_slice(3)) == [3, 4]
    assert numbers(plain().take_slice(1, -2)) == [1, 2, 3]


def test_chance_is_the_same_for_the_same_seed():
    assert numbers(plain().shuffle(seed=3)) == numbers(plain().shuffle(seed=3))
    assert sorted(numbers(plain().shuffle())) == [0, 1, 2, 3, 4]
    assert numbers(plain().sample(3, seed=5)) == numbers(plain().sample(3, seed=5))
    assert len(plain().sample(0.4)) == 2
    assert len(plain().sample(9)) == 5
    assert sorted(numbers(plain().sample(2, 1, 2))) == [1, 2]


def test_splitting_gives_every_row_to_one_part():
    dataset = plain()
    train, test = dataset.split(0.6, seed=1)
    assert (len(train), len(test)) == (3, 2)
    assert sorted(numbers(train) + numbers(test)) == [0, 1, 2, 3, 4]
    assert dataset.to_pylist() == ROWS
    parts = plain().concat_table(plain()).split([0.5, 0.5], seed=1, by="a")
    assert not {*numbers(parts[0])} & {*numbers(parts[1])}


def test_rows_that_are_there_already_are_left_out():
    assert plain().concat_table([plain(), plain()]).dedup().to_pylist() == ROWS
    pytest.importorskip("rensa", reason="it finds the pairs")
    text = " ".join(f"word{number}" for number in range(60))
    near = Dataset.create_from_pyobj([f"{text} one", f"{text} two", "something else"])
    assert len(near.dedup(should_create_new_obj=True)) == 3
    assert near.dedup(near=0.8).to_pylist() == [f"{text} one", "something else"]


def test_mixing_by_ratio():
    other = Dataset.create_from_pyobj([{"a": -1, "b": "b"}] * 5)
    mixed = Dataset.mix([plain(), other], [3, 1], total=4, seed=1)
    assert numbers(mixed).count(-1) == 1
    assert len(mixed) == 4
    assert Dataset.create_from_datasets([plain(), other]).row_number() == 10


def test_something_can_be_done_with_every_row():
    seen = []
    assert plain().iterate(seen.append) is None
    assert seen == ROWS


EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.integers(), min_size=1, max_size=3)),
        st.tuples(st.just("insert"), st.integers(0, 9), st.integers()),
        st.tuples(st.just("delete"), st.integers(0, 9)),
        st.tuples(st.just("shift"), st.just(1)),
    ),
    max_size=12,
)


@given(EDITS, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_editing_is_as_on_a_list(edits, size):
    rows = [{"a": number} for number in range(size)]
    dataset = Dataset.create_from_pyobj(rows, format="table")
    for edit, *arguments in edits:
        if edit == "append":
            added = [{"a": number} for number in arguments[0]]
            dataset.append(added)
            rows += added
        elif edit == "insert":
            at = min(arguments[0], len(rows))
            dataset.insert({"a": arguments[1]}, at)
            rows.insert(at, {"a": arguments[1]})
        elif edit == "shift":
            dataset.map(lambda row: {"a": row["a"] + 1})
            rows = [{"a": row["a"] + 1} for row in rows]
        elif rows:
            del dataset[arguments[0] % len(rows)]
            del rows[arguments[0] % len(rows)]
    assert dataset.to_pylist() == rows
    assert len(dataset) == len(rows)
    assert [dataset[position] for position in range(len(rows))] == rows


def test_many_edits_are_one_step():
    dataset = plain()
    for number in range(2000):
        dataset.append({"a": number})
        dataset.delete(0)
    assert dataset[0] == {"a": 1995}
    assert len(dataset) == 5


def test_a_row_is_added_in_any_form_that_fits():
    assert talks().append([NEW])[-1] == [NEW]
    assert talks().append(NEW)[-1] == [NEW]
    assert talks().append([[NEW], [OTHER]])[-2:] == [[NEW], [OTHER]]
    assert talks().append({"instruction": "n", "output": "x"})[-1] == [NEW]
    assert talks().insert([NEW], -1).to_pylist() == [TALKS[0], [NEW], TALKS[1]]
    assert Dataset.create_from_pyobj(["x"]).append("y").append(["z"]).to_pylist() == ["x", "y", "z"]
    assert plain().append([{"a": 5}, {"c": 6}])[-2:] == [{"a": 5}, {"c": 6}]
    fresh = Dataset.create_from_pyobj([]).append({"prompt": "n", "response": "x"})
    assert fresh.to_pylist() == [[NEW]]
    assert fresh.template_type is DataTemplateType.NonSortedConversation


def test_a_file_in_another_shape_gets_rows_too(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "i", "output": "o"}\n{"instruction": "i2", "output": "o"}\n', encoding="utf-8")
    dataset = Dataset.load(data_file=path).append([NEW]).delete(0)
    assert dataset.to_pylist() == [[{"prompt": "i2", "response": [["o"]]}], [NEW]]
    assert dataset.validate()
    assert path.read_text(encoding="utf-8").count("\n") == 2


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"x": 1}, "it is a plain row among NonSortedConversation rows"),
        ("text", "it is a GenericText row among NonSortedConversation rows"),
        ({"instruction": "i", "output": ""}, "output: is empty"),
    ],
)
def test_what_is_no_row_there_is_refused(row, expected):
    dataset = talks()
    with pytest.raises(ValidationError, match=expected):
        dataset.append(row)
    assert dataset.to_pylist() == TALKS


def test_positions_that_do_not_exist_are_named():
    for change in (lambda: plain().delete(5), lambda: plain().delete([0, -6]), lambda: plain().insert({"a": 1}, 6)):
        with pytest.raises(IndexError, match=r"row (5|-6|6) of rows in memory, which has 5"):
            change()


def test_deleting_by_key():
    for key, left in ((0, ROWS[1:]), ([0, -1], ROWS[1:4]), (slice(None, 3), ROWS[3:])):
        dataset = plain()
        del dataset[key]
        assert dataset.to_pylist() == left
    for key in ("a", ["a"]):
        dataset = plain()
        del dataset[key]
        assert dataset.col_names() == ["b"]


# --- columns ------------------------------------------------------------------------------------------------------


def test_choosing_columns():
    assert plain().select_columns(["b", "a"])[0] == {"b": "00", "a": 0}
    assert plain().col_delete(0)[0] == plain().col_delete(["a"])[0] == {"b": "00"}
    assert plain().col_filter(lambda column: column.get("a")).col_names() == ["a"]
    with pytest.raises(KeyError, match="no column 'z'"):
        plain().select_columns(["z"])


def test_adding_columns():
    marks = [*"vwxyz"]
    assert plain().col_append({"c": marks})[4] == {"a": 4, "b": "44", "c": "z"}
    assert plain().col_append({"name": "c", "data": marks})["c"] == marks
    assert plain().col_insert({"c": marks}, "b").col_names() == ["a", "c", "b"]
    with pytest.raises(InvalidArgumentError, match="column 'c' needs 5 values, one for each row; found 1"):
        plain().col_append({"c": ["v"]})
    with pytest.raises(InvalidArgumentError, match="column 'c' must be a list of values, not str"):
        plain().col_append({"c": "vwxyz"})


def test_a_new_column_makes_rows_to_train_on_or_stays_a_column():
    questions = Dataset.create_from_pyobj([{"prompt": "q0"}, {"prompt": "q1"}])
    answered = questions.col_append({"response": ["a0", "a1"]}, should_create_new_obj=True)
    assert answered.to_pylist() == [[{"prompt": f"q{n}", "response": [[f"a{n}"]]}] for n in range(2)]
    assert answered.template_type is DataTemplateType.NonSortedConversation
    scored = questions.col_append({"score": [1, 2]})
    assert scored.to_pylist() == [{"prompt": "q0", "score": 1}, {"prompt": "q1", "score": 2}]
    assert scored.template_type is None


def test_renaming_columns():
    assert plain().col_renames(["x", "y"])[0] == {"x": 0, "y": "00"}
    assert plain().col_renames({"b": "y"})[0] == {"a": 0, "y": "00"}
    with pytest.raises(InvalidArgumentError, match="2 names are needed"):
        plain().col_renames(["x"])
    with pytest.raises(InvalidArgumentError, match="same name: a, a"):
        plain().col_renames({"b": "a"})
    pairs = Dataset.create_from_pyobj([{"question": "q", "answer": "a"}]).col_renames(["prompt", "response"])
    assert pairs.to_pylist() == [[{"prompt": "q", "response": [["a"]]}]]


def test_changing_whole_columns():
    assert plain().col_map(lambda column: {name: values[::-1] for name, values in column.items()})[0] == ROWS[4]
    with pytest.raises(InvalidArgumentError, match="returns a dict"):
        plain().col_map(lambda column: [*column])


def test_conversations_have_no_columns_of_their_own_to_add_to():
    for change in (lambda: talks().col_append({"c": [1, 2]}), lambda: talks().col_map(dict)):
        with pytest.raises(InvalidArgumentError, match="after unpack"):
            change()


@given(st.lists(st.one_of(st.none(), st.integers(-50, 50)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_numbers_about_a_column(values):
    dataset = Dataset.create_from_pyobj([{"n": value} for value in [*values, 1]], format="table")
    present = [value for value in [*values, 1] if value is not None]
    assert dataset.mean("n") == pytest.approx(statistics.fmean(present))
    assert (dataset.min("n"), dataset.max("n")) == (min(present), max(present))
    assert dataset.quantile("n") == [pytest.approx(statistics.median(present))]
    assert dataset.quantile("n", [0, 1]) == [min(present), max(present)]
    if None in values:
        skipping = (dataset.mean("n", False), dataset.min("n", False), dataset.quantile("n", 0.5, skip_nulls=False))
        assert skipping == (None, None, [None])


def test_quantiles_between_two_values():
    ways = {"linear": 1.25, "lower": 1, "higher": 2, "nearest": 1, "midpoint": 1.5}
    dataset = Dataset.create_from_pyobj([{"n": 1}, {"n": 2}], format="table")
    assert {way: dataset.quantile("n", 0.25, way)[0] for way in ways} == ways
    for wrong in ({"q": 2}, {"q": 0.5, "interpolation": "cubic"}):
        with pytest.raises(InvalidArgumentError, match=r"from 0 to 1|no interpolation"):
            dataset.quantile("n", **wrong)


def test_numbers_need_numbers():
    with pytest.raises(InvalidArgumentError, match="column 'b' holds str values"):
        plain().mean("b")
    assert plain().max("b") == "44"
    with pytest.raises(InvalidArgumentError, match="cannot be compared"):
        Dataset.create_from_pyobj([{"n": 1}, {"n": "x"}]).min("n")


# --- conversations and turns --------------------------------------------------------------------------------------


def test_turns_are_rows_with_a_group():
    dataset = turns()
    assert dataset.to_pylist() == [
        {**TURNS[0], "_group": 0},
        {**TURNS[1], "_group": 0},
        {**TURNS[2], "_group": 1},
    ]
    assert (dataset.is_dataset_grouped(), dataset.is_dataset_packed()) == (True, False)
    assert (talks().is_dataset_grouped(), talks().is_dataset_packed()) == (False, True)
    assert dataset.unpack()
    assert dataset.pack()
    assert dataset.to_pylist() == TALKS
    assert dataset.pack()


@given(st.lists(st.lists(st.sampled_from(TURNS), min_size=1, max_size=3), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_unpacking_and_packing_leave_conversations_as_they_were(rows):
    dataset = Dataset.create_from_pyobj(rows, format="dialogue")
    dataset.unpack()
    assert dataset["_group"] == [number for number, row in enumerate(rows) for _ in row]
    dataset.map(lambda turn: turn)  # so that there is something to pack
    dataset.pack()
    assert dataset.to_pylist() == rows


def test_turns_are_still_conversations_to_train_on(tmp_path):
    dataset = turns().filter(lambda turn: turn["prompt"] != "b").map(lambda turn: {**turn, "prompt": "z"})
    assert [type(record) for record in dataset.records()] == [Conversation, Conversation]
    assert dataset.template_type is DataTemplateType.NonSortedConversation
    assert dataset.validate().rows == 2
    saved = dataset.save(data_file=tmp_path / "a.jsonl")
    assert saved.to_pylist() == [[{**TURNS[0], "prompt": "z"}], [{**TURNS[2], "prompt": "z"}]]


def test_a_function_that_forgets_the_group_of_a_turn_keeps_it():
    assert turns().map(lambda turn: {"prompt": "z"})["_group"] == [0, 0, 1]
    assert turns().select_columns("prompt").col_names() == ["prompt", "_group"]


@pytest.mark.parametrize(
    ("elem", "how", "groups"),
    [
        (NEW, {}, [1]),
        (NEW, {"add_new_group": True}, [2]),
        ([NEW, OTHER], {}, [1, 1]),
        ([NEW, OTHER], {"add_new_group": True}, [2, 2]),
        ([NEW, OTHER], {"add_new_group": True, "is_grouped": False}, [2, 3]),
    ],
)
def test_turns_are_added_to_the_last_group_or_to_new_ones(elem, how, groups):
    dataset = turns().append(elem, **how)
    assert dataset["_group"] == [0, 0, 1, *groups]


def test_turns_are_put_into_the_group_before_them_or_into_a_named_one():
    assert turns().insert(NEW, 1)["_group"] == [0, 0, 0, 1]
    assert turns().insert(NEW, 0)["_group"] == [0, 0, 0, 1]
    assert turns().insert(NEW, 1, group_id=1)["_group"] == [0, 1, 0, 1]
    assert turns().insert(NEW, 1, add_new_group=True)["_group"] == [0, 2, 0, 1]
    assert turns().filter(lambda turn: False).append(NEW)["_group"] == [0]


def test_groups_of_plain_rows(tmp_path):
    dataset = plain().add_default_group_column()
    assert dataset["_group"] == [0, 1, 2, 3, 4]
    assert dataset.add_default_group_column() is dataset
    assert dataset.save(data_file=tmp_path / "a.jsonl")["_group"] == [0, 1, 2, 3, 4]
    assert dataset.delete_group_column().to_pylist() == plain().delete_group_column().to_pylist() == ROWS
    loose = turns().delete_group_column()
    assert loose.to_pylist() == TURNS
    assert loose.pack()
    assert loose.to_pylist() == [[turn] for turn in TURNS]


def test_what_has_no_turns_is_not_unpacked():
    texts = Dataset.create_from_pyobj(["x"])
    assert texts.is_dataset_packed()
    with pytest.raises(InvalidArgumentError, match="only conversations have turns"):
        texts.unpack()
    with pytest.raises(InvalidArgumentError, match="after unpack"):
        talks().add_default_group_column()


# --- checking and saving after changes ----------------------------------------------------------------------------


def test_changed_rows_are_checked_with_the_place_they_come_from(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in TALKS), encoding="utf-8")
    changed = Dataset.load(data_file=path).map(lambda row: [{**row[0], "prompt": ""}] if len(row) == 1 else row)
    report = changed.validate()
    assert [(problem.line, problem.field) for problem in report.problems] == [(2, "[0].prompt")]
    assert talks().validate(against=talks()).warnings
    assert talks().stats().rows == 2


def test_a_corrected_copy(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(TALKS[0]) + "\n" + json.dumps([]) + "\n", encoding="utf-8")
    dataset = Dataset.load(data_file=path)
    assert not dataset.validate()
    dataset.fix(tmp_path / "b.jsonl")
    assert Dataset.load(data_file=tmp_path / "b.jsonl").to_pylist() == TALKS[:1]


def test_changes_are_saved_back_to_the_file_they_came_from(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in TALKS), encoding="utf-8")
    Dataset.load(data_file=path).filter(lambda row: len(row) == 1).save()
    assert Dataset.load(data_file=path).to_pylist() == TALKS[1:]
