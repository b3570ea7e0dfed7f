"""Everything that documents of the older SDK do with datasets, in the spellings of both of its eras."""

from __future__ import annotations

import importlib
import json
import re

import pytest

from qianfan.dataset import (
    Dataset,
    DataSource,
    DataStorageType,
    DataTemplateType,
    FileDataSource,
    QianfanDataSource,
    Table,
    qianfan_data_operators,
    schema,
)
from qianfan.dataset.qianfan_data_operators import (
    FilterCheckNumberWords,
    QianfanOperator,
    RemoveEmoji,
    by_stage,
)
from qianfan.emulator import Emulator
from qianfan.errors import ArgumentNotFoundError, InvalidArgumentError, NotImplmentError
from qianfan.resources import BosPath, Platform

pytestmark = pytest.mark.anyio

LINES = [[{"prompt": f"q{n}", "response": [[f"a{n}"]]}] for n in range(40)]
TEXTS = ["a face 😀 and words", "write to me@example.com now", "alone", "write to me@example.com now"]


@pytest.fixture
def emulator():
    with Emulator(engine="scripted") as running:
        yield running


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES), encoding="utf-8")
    return path


async def on_the_platform(rows) -> Dataset:
    return await Dataset.create_from_pyobj(rows).aupload(bucket="my-bucket")


# --- loading ------------------------------------------------------------------------------------------------------


def test_the_first_place_that_is_given_counts(file, emulator):
    source = FileDataSource(file)
    for places in ({"source": source, "data_file": "no.jsonl"}, {"data_file": file, "qianfan_dataset_id": 9999}):
        assert Dataset.load(**places)[0] == LINES[0]
    assert Dataset.load(str(file))[0] == LINES[0]
    assert not emulator.requests
    with pytest.raises(ArgumentNotFoundError, match="needs a data_file, a qianfan_dataset_id or a source"):
        Dataset.load()


async def test_a_file_in_a_bucket_becomes_a_dataset(emulator, file):
    await Platform().bos.put_bytes(file.read_bytes(), BosPath("my-bucket", "folder/lines.jsonl"))
    args = {
        "name": "loaded",
        "template_type": DataTemplateType.NonSortedConversation,
        "storage_id": "my-bucket",
        "storage_path": "/folder/",
        "file_name": "lines.jsonl",
        "is_data_annotated": True,
    }
    dataset = await Dataset.aload(bos_load_args=args, does_release=True, is_download_to_local=True)
    assert dataset.is_released
    assert dataset.to_pylist() == LINES
    assert dataset.inner_data_source_cache.storage_id == "my-bucket"


def test_frames_and_arrow_tables():
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    columns = {"prompt": ["q0", "q1"], "response": ["a0", "a1"]}
    for dataset in (
        Dataset.load(dataframe=pandas.DataFrame(columns)),
        Dataset.load(huggingface_dataset=pyarrow.table(columns)),
        Dataset.create_from_pyarrow_table(pyarrow.table(columns), schema.QianfanNonSortedConversation()),
    ):
        assert dataset.to_pylist() == LINES[:2]
    plain = Dataset.create_from_pyarrow_table(pyarrow.table({"a": [1, None]}), input_columns=["a"])
    assert plain.get_input_data == {"a": [1, None]}


async def test_a_file_in_a_bucket_is_a_source(emulator, file):
    await Platform().bos.put_bytes(file.read_bytes(), BosPath("my-bucket", "folder/lines.jsonl"))
    place = {"region": "bj", "bucket": "my-bucket", "bos_file_path": "/folder/lines.jsonl"}
    for where in ({"bos_source_args": place}, {"data_file": "bos:/my-bucket/folder/lines.jsonl"}):
        dataset = await Dataset.aload(**where)
        assert dataset.to_pylist() == LINES
    saved = await dataset.filter(lambda row: row == LINES[3]).asave("bos:/my-bucket/other.jsonl")
    assert saved.to_pylist() == [LINES[3]]
    assert json.loads(emulator.read_object("my-bucket", "other.jsonl")) == LINES[3]


def test_places_inside_of_one_company_are_refused():
    with pytest.raises(NotImplmentError, match="afs_source_args: AFS is storage inside of one company"):
        Dataset.load(afs_source_args={"afs_file_path": "/a"})
    with pytest.raises(NotImplmentError, match="afs_source_args"):
        Dataset.create_from_pyobj(LINES).save(afs_source_args={"afs_file_path": "/a"})


@pytest.mark.parametrize("home", ["qianfan.dataset", "qianfan.dataset.data_source"])
def test_a_source_that_is_left_out_says_so(home):
    with pytest.raises(NotImplmentError, match="AFSDataSource: AFS is storage inside of one company"):
        importlib.import_module(home).AFSDataSource  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'BFSDataSource'"):
        importlib.import_module(home).BFSDataSource  # noqa: B018


def test_local_operators_are_left_out():
    operators = importlib.import_module("qianfan.dataset.local_data_operators")
    with pytest.raises(NotImplmentError, match=r"LocalFilter: there are no local cleaning operators; use ds\.filter"):
        operators.LocalFilter  # noqa: B018
    assert not hasattr(operators, "__path__")


def test_tools_that_are_left_out():
    dataset = Dataset.create_from_pyobj(LINES)
    for call in (dataset.stress_test, dataset.multi_stress_test, dataset.show_in_data_insight_mode):
        with pytest.raises(NotImplmentError, match=r"stress_test: |show_in_data_insight_mode: "):
            call(users=1)


def test_what_is_a_source(file):
    assert isinstance(FileDataSource(file), DataSource)
    assert isinstance(QianfanDataSource("ds-1"), DataSource)


# --- rows that stay on the platform -------------------------------------------------------------------------------


async def test_rows_on_the_platform_come_by_position(emulator):
    dataset = await on_the_platform(LINES)
    assert dataset.is_dataset_located_in_qianfan()
    assert not dataset.is_local
    assert await dataset.alist(0) == dataset[0] == dataset.list(0) == LINES[0]
    assert dataset[-1] == LINES[-1]
    assert dataset[28:33] == LINES[28:33]  # across two pages
    assert dataset[[39, 1]] == [LINES[39], LINES[1]]
    assert await dataset.alist() == dataset.list() == LINES
    with pytest.raises(IndexError, match=r"row 40 of dataset ds-.*, which has 40"):
        await dataset.alist(40)
    with pytest.raises(InvalidArgumentError, match="gives whole rows"):
        dataset["prompt"]


async def test_texts_on_the_platform_come_as_texts(emulator):
    dataset = await on_the_platform(TEXTS)
    assert dataset.is_dataset_generic_text()
    assert await dataset.alist() == TEXTS
    assert dataset[1] == TEXTS[1]


async def test_a_changed_dataset_is_no_longer_the_one_on_the_platform(emulator):
    dataset = await on_the_platform(LINES)
    with pytest.raises(InvalidArgumentError, match="is on the platform; load it with is_download_to_local=True"):
        dataset.filter(bool)
    here = await Dataset.aload(dataset.inner_data_source_cache, is_download_to_local=True)
    changed = here.filter(lambda row: row[0]["prompt"] == "q7", should_create_new_obj=True)
    assert here.is_dataset_located_in_qianfan()
    assert not changed.is_dataset_located_in_qianfan()
    assert changed.to_pylist() == [LINES[7]]
    assert changed.template_type is DataTemplateType.NonSortedConversation


async def test_the_turns_of_a_downloaded_dataset(emulator):
    rows = [LINES[0] + LINES[1], LINES[2]]
    source = (await on_the_platform(rows)).inner_data_source_cache
    dataset = await Dataset.aload(source, is_download_to_local=True, organize_data_as_group=True)
    assert dataset["_group"] == [0, 0, 1]
    assert len(dataset) == 3
    assert dataset.inner_data_source_cache is source
    assert dataset.filter(lambda turn: turn["prompt"] != "q1").local_source.row(0).to_json() == LINES[0]


# --- saving -------------------------------------------------------------------------------------------------------


async def test_a_destination_is_a_path_or_a_source(emulator, tmp_path):
    dataset = Dataset.create_from_pyobj(LINES)
    assert (await dataset.asave(tmp_path / "a.json")).to_pylist() == LINES
    assert (await dataset.asave(FileDataSource(tmp_path / "b.jsonl"))).to_pylist() == LINES
    bare = await QianfanDataSource.acreate_bare_dataset("mine", DataTemplateType.NonSortedConversation)
    saved = await dataset.asave(bare, sup_storage_id="my-bucket")
    assert saved.inner_data_source_cache is bare
    assert not saved.is_released
    more = await dataset.asave(qianfan_dataset_id=saved.name, sup_storage_id="my-bucket", does_release=True)
    assert more.is_released
    assert len(more) == 80
    with pytest.raises(InvalidArgumentError, match="nothing can be saved to"):
        await dataset.asave(dataset.local_source)
    with pytest.raises(ArgumentNotFoundError, match="needs a data_file"):
        await dataset.asave()


async def test_the_saved_dataset_can_take_the_place_of_this_one(emulator, tmp_path):
    dataset = Dataset.create_from_pyobj(LINES)
    saved = await dataset.asave(data_file=tmp_path / "a.jsonl", replace_source=True)
    assert dataset.name == saved.name == str(tmp_path / "a.jsonl")
    args = {"name": "mine", "storage_id": "my-bucket", "storage_path": "/a/"}
    assert await dataset.asave(qianfan_dataset_create_args=args, replace_source=True)
    assert dataset.inner_data_source_cache.storage_type is DataStorageType.PrivateBos


def test_saving_something_else_than_is_expected(tmp_path):
    with pytest.raises(InvalidArgumentError, match="not GenericText"):
        Dataset.create_from_pyobj(LINES).save(data_file=tmp_path / "a.jsonl", schema=schema.QianfanGenericText())
    assert not list(tmp_path.iterdir())


async def test_rows_go_up_ready_to_be_trained_on(emulator):
    told: list[tuple[int, int]] = []
    uploaded = await Dataset.create_from_pyobj(LINES).aupload(
        "mine", bucket="my-bucket", folder="f", on_progress=lambda done, whole: told.append((done, whole))
    )
    assert uploaded.is_released
    assert uploaded.inner_data_source_cache.name == "mine"
    assert told[-1][0] == told[-1][1] > 0
    assert all(key.startswith("f/") for key in emulator.buckets["my-bucket"])


async def test_going_up_needs_a_bucket():
    with pytest.raises(ArgumentNotFoundError, match="set QIANFAN_BOS_BUCKET, or give bucket"):
        await Dataset.create_from_pyobj(LINES).aupload("mine")


def test_going_up_blocking(emulator):
    texts = Dataset.create_from_pyobj(TEXTS).upload(bucket="my-bucket", release=False)
    assert not texts.is_released
    assert len(texts) == 4


async def test_rows_in_another_shape(tmp_path):
    dataset = Dataset.create_from_pyobj(LINES[:1])
    messages = {"messages": [{"role": "user", "content": "q0"}, {"role": "assistant", "content": "a0"}]}
    assert list(dataset.convert("messages")) == [messages]
    saved = await dataset.asave(data_file=tmp_path / "a.jsonl", format="messages")
    assert json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8")) == messages
    assert saved.to_pylist() == LINES[:1]
    with pytest.raises(InvalidArgumentError, match="row 1"):
        list(dataset.convert("kto"))


# --- schemas ------------------------------------------------------------------------------------------------------

KINDS = {
    "QianfanNonSortedConversation": LINES,
    "QianfanSortedConversation": [[{"prompt": "q", "response": [["a"], ["b"]]}]],
    "QianfanPromptChosenRejected": [[{"user": "q", "chosen": "a", "rejected": "b"}]],
    "QianfanGenericText": TEXTS[:3],
    "QianfanQuerySet": [{"prompt": "q"}],
    "EvaluationSchema": [{"input": "q", "output": "a", "reference": "r"}],
}


@pytest.mark.parametrize("wanted", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_says_whether_a_dataset_is_of_its_kind(wanted, kind):
    dataset = Dataset.create_from_pyobj(KINDS[kind])
    report = getattr(schema, wanted)().validate(dataset)
    assert bool(report) is (wanted == kind)
    if wanted != kind:
        assert re.search("is of kind|is not of kind|the columns input, output and reference", str(report))


async def test_a_dataset_on_the_platform_is_of_a_kind_too(emulator):
    assert await Dataset.aload(qianfan_dataset_id=111, schema=schema.QianfanNonSortedConversation())
    with pytest.raises(InvalidArgumentError, match="is of kind NonSortedConversation, not GenericText"):
        await Dataset.aload(qianfan_dataset_id=111, schema=schema.QianfanGenericText())


def test_a_schema_reports_bad_rows_too():
    dataset = Dataset.create_from_pyobj([*LINES, []], format="dialogue")
    report = schema.QianfanNonSortedConversation().validate(dataset)
    assert [problem.line for problem in report.problems] == [41]
    assert issubclass(schema.QianfanText2Image, schema.QianfanSchema)
    assert issubclass(schema.QianfanSchema, schema.Schema)


# --- which columns are what ---------------------------------------------------------------------------------------


def test_the_columns_of_conversations_are_known():
    dataset = Dataset.create_from_pyobj(LINES[:2])
    assert (dataset.input_columns, dataset.reference_column) == (["prompt"], "response")
    assert dataset.get_input_data == {"prompt": ["q0", "q1"]}
    assert dataset.get_reference_data == [[["a0"]], [["a1"]]]


def test_the_columns_of_other_rows_are_named():
    rows = [{"q": "1+1", "a": "2", "note": ""}]
    dataset = Dataset.create_from_pyobj(rows, input_columns=["q"], reference_column="a")
    assert dataset.get_input_data == {"q": ["1+1"]}
    assert dataset.get_reference_data == ["2"]
    unnamed = Dataset.create_from_pyobj(rows)
    assert unnamed.get_input_data == {"q": ["1+1"], "a": ["2"], "note": [""]}
    with pytest.raises(InvalidArgumentError, match="no reference_column"):
        unnamed.get_reference_data  # noqa: B018


async def test_the_columns_stay_known_when_rows_are_saved(tmp_path):
    rows = [{"q": "1+1", "a": "2"}]
    dataset = Dataset.create_from_pyobj(rows, input_columns=["q"], eval_input_column="q", eval_llm_output_column="a")
    saved = await dataset.map(lambda row: row).asave(data_file=tmp_path / "a.jsonl")
    assert (saved.input_columns, saved.eval_input_column, saved.eval_llm_output_column) == (["q"], "q", "a")


async def test_a_models_answers_have_known_columns(emulator):
    questions = Dataset.create_from_pyobj(LINES[:2])
    answers = await questions.atest_using_llm(service_model="ERNIE-Speed-8K", output_prettified=True)
    assert (answers.eval_input_column, answers.eval_llm_output_column) == ("input", "output")
    assert answers.reference_column == "reference"
    assert schema.EvaluationSchema().validate(answers)
    with pytest.raises(NotImplmentError, match="does_show_latency"):
        await questions.atest_using_llm(service_model="ERNIE-Speed-8K", does_show_latency=True)


# --- cleaning -----------------------------------------------------------------------------------------------------

OPERATORS = {
    "RemoveEmoji": ("clean", "remove_emoji", {}),
    "RemoveInvisibleCharacter": ("clean", "remove_invisible_character", {}),
    "ReplaceUniformWhitespace": ("clean", "replace_uniform_whitespace", {}),
    "RemoveNonMeaningCharacters": ("clean", "remove_non_meaning_characters", {}),
    "ReplaceTraditionalChineseToSimplified": ("clean", "replace_traditional_chinese_to_simplified", {}),
    "RemoveWebIdentifiers": ("clean", "remove_web_identifiers", {}),
    "FilterCheckNumberWords": (
        "filter",
        "filter_check_number_words",
        {"number_words_min_cutoff": 1, "number_words_max_cutoff": 10_000},
    ),
    "FilterCheckWordRepetitionRemoval": (
        "filter",
        "filter_check_word_repetition_removal",
        {"word_repetition_max_cutoff": 0.5},
    ),
    "FilterCheckCharacterRepetitionRemoval": (
        "filter",
        "filter_check_character_repetition_removal",
        {"default_character_repetition_max_cutoff": 0.5},
    ),
    "FilterCheckSpecialCharacters": (
        "filter",
        "filter_check_special_characters",
        {"special_characters_max_cutoff": 0.3},
    ),
    "FilterCheckFlaggedWords": ("filter", "filter_check_flagged_words", {"flagged_words_max_cutoff": 0.5}),
    "FilterCheckLangId": ("filter", "filter_check_lang_id", {"lang_id_min_cutoff": 0.5}),
    "FilterCheckPerplexity": ("filter", "filter_check_perplexity", {"perplexity_max_cutoff": 1110}),
    "DeduplicationSimhash": ("deduplication", "deduplication_simhash", {"distance": 4}),
    "ReplaceEmails": ("desensitization", "replace_emails", {}),
    "ReplaceIp": ("desensitization", "replace_ip", {}),
    "ReplaceIdentifier": ("desensitization", "replace_identifier", {}),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_as_the_platform_takes_it(name):
    stage, word, args = OPERATORS[name]
    operator = getattr(qianfan_data_operators, name)(**args)
    assert (operator.operator_type, operator.operator_name) == (stage, word)
    assert by_stage([operator]) == {stage: [{"name": word, "args": args}]}


def test_every_operator_is_there():
    made = [kind for kind in vars(qianfan_data_operators).values() if isinstance(kind, type)]
    named = {kind.__name__ for kind in made if issubclass(kind, QianfanOperator) and kind.operator_name}
    assert named == OPERATORS.keys()


async def test_texts_are_cleaned_into_a_new_dataset(emulator):
    dataset = await on_the_platform(TEXTS)
    operators = [
        getattr(qianfan_data_operators, name)(**OPERATORS[name][2]) for name in ("RemoveEmoji", "ReplaceEmails")
    ]
    outcome = await dataset.aonline_data_process([*operators, qianfan_data_operators.DeduplicationSimhash(distance=4)])
    assert outcome["is_succeeded"]
    assert outcome["etl_task_id"]
    assert outcome["new_dataset_id"] != dataset.inner_data_source_cache.dataset_id
    cleaned = await Dataset.aload(qianfan_dataset_id=outcome["new_dataset_id"])
    texts = await cleaned.alist()
    assert len(texts) == 3
    assert not any("😀" in text or "@" in text for text in texts)
    assert await dataset.alist() == TEXTS


async def test_a_cleaning_that_leaves_nothing_says_why(emulator):
    dataset = await on_the_platform(TEXTS)
    outcome = await dataset.aonline_data_process([FilterCheckNumberWords(number_words_min_cutoff=500)])
    assert not outcome["is_succeeded"]
    assert outcome["reason"]


def test_cleaning_blocking(emulator):
    dataset = Dataset.create_from_pyobj(TEXTS).upload(bucket="my-bucket")
    assert dataset.start_online_data_process_task([RemoveEmoji()])
    assert dataset.online_data_process([RemoveEmoji()])["is_succeeded"]


async def test_what_cannot_be_cleaned_is_refused(emulator):
    texts = await on_the_platform(TEXTS)
    for dataset, operators, expected in (
        (Dataset.create_from_pyobj(TEXTS), [RemoveEmoji()], "only a dataset on the platform can be cleaned there"),
        (await Dataset.aload(qianfan_dataset_id=111), [RemoveEmoji()], "only GenericText can be cleaned online"),
        (texts, [], "at least one operator"),
        (texts, ["remove_emoji"], "'remove_emoji' is no operator"),
    ):
        with pytest.raises(InvalidArgumentError, match=expected):
            await dataset.astart_online_data_process_task(operators)
    assert emulator.count("etl/create") == 0


def test_what_is_shown(capsys):
    dataset = Dataset.create_from_pyobj(LINES)
    dataset.show_overview_info()
    dataset.show_as_table()
    shown = capsys.readouterr().out
    assert shown == f"{dataset}\n{dataset}\n"
    assert "prompt: q0" in shown
    assert isinstance(dataset, Table)
