"""What `Dataset.load` and `Dataset.save` take by name alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from qianfan._transport import Client
from qianfan.dataset.consts import FormatType
from qianfan.dataset.schema import Schema
from qianfan.resources.fetching import OnBytes


class RoleColumns(TypedDict, total=False):
    """Which columns are what, for evaluations.

    input_columns: the question. reference_column: the answer of the dataset. eval_input_column,
    eval_llm_output_column: the question and the answer of a model, in a dataset of such answers.
    """

    input_columns: Sequence[str] | None
    reference_column: str | None
    eval_input_column: str | None
    eval_llm_output_column: str | None


class LoadOptions(RoleColumns, total=False):
    """What `Dataset.load` takes by name alone, as `aload` explains."""

    bos_load_args: Mapping[str, Any] | None
    bos_source_args: Mapping[str, Any] | None
    afs_source_args: Mapping[str, Any] | None
    huggingface_dataset: Any
    dataframe: Any
    schema: Schema | None
    organize_data_as_group: bool
    format: str | None
    file_format: FormatType | str | None
    is_download_to_local: bool | None
    does_release: bool
    on_progress: OnBytes | None
    ak: str | None
    sk: str | None
    client: Client | None


class SaveOptions(TypedDict, total=False):
    """What `Dataset.save` takes by name alone, as `asave` explains."""

    qianfan_dataset_create_args: Mapping[str, Any] | None
    bos_source_args: Mapping[str, Any] | None
    afs_source_args: Mapping[str, Any] | None
    schema: Schema | None
    replace_source: bool | None
    format: str | None
    file_format: FormatType | str | None
    save_as_folder: bool
    does_release: bool
    is_annotated: bool
    sup_storage_id: str | None
    sup_storage_path: str | None
    sup_storage_region: str | None
    should_overwrite_existed_file: bool
    should_save_as_zip_file: bool
    on_progress: Callable[[int, int], object] | None
    ak: str | None
    sk: str | None
    client: Client | None
