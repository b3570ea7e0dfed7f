"""`qianfan dataset upload`, `download`, `save` and `convert`: rows from one place to another."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qianfan.cli.files import tell_file
from qianfan.cli.invocation import Invocation
from qianfan.cli.options import FileFormat, Format, Json, Source
from qianfan.cli.places import InStorage, OnPlatform, Place, aload_here, bucket_and_folder, local_rows, place_of

if TYPE_CHECKING:
    from qianfan.dataset import Dataset, QianfanDataSource
    from qianfan.dataset.upload import UploadTarget
    from qianfan.resources.schemas import DatasetInfo


class Template(str, Enum):
    """The kinds of datasets, as a command line calls them."""

    NonSortedConversation = "non_sorted_conversation"
    SortedConversation = "sorted_conversation"
    PromptChosenRejected = "prompt_chosen_rejected"
    GenericText = "generic_text"
    QuerySet = "query_set"
    Text2Image = "text2_image"


class Storage(str, Enum):
    """Who owns the storage of a dataset, as a command line calls it."""

    PrivateBos = "private_bos"
    PublicBos = "public_bos"


DatasetName = Annotated[
    str | None,
    typer.Option(help="Name of the new dataset; the file's name when left out.", show_default=False),
]
TemplateType = Annotated[
    Template | None,
    typer.Option(
        "--dataset-template-type",
        help="Kind of dataset that is expected; found out from the rows when left out.",
        show_default=False,
    ),
]
StorageType = Annotated[
    Storage,
    typer.Option(
        "--dataset-storage-type", help="Where the new dataset lives: in a bucket of yours, or in the platform's."
    ),
]
BosFolder = Annotated[
    str | None,
    typer.Option(
        "--bos-path",
        help="Folder that the file passes through, bos:/bucket/folder; that of the settings when left out.",
        show_default=False,
    ),
]
Release = Annotated[
    bool, typer.Option("--release/--no-release", help="Release the dataset afterwards, so that it can be trained on.")
]


def upload(
    context: typer.Context,
    src: Source,
    dst: Annotated[
        str | None,
        typer.Argument(help="A dataset to add the rows to, as qianfan://ds-…; else a new one.", show_default=False),
    ] = None,
    dataset_name: DatasetName = None,
    dataset_template_type: TemplateType = None,
    dataset_storage_type: StorageType = Storage.PrivateBos,
    bos_path: BosFolder = None,
    release: Release = False,
    format: Format = None,
    file_format: FileFormat = None,
    json: Json = False,
) -> None:
    """Put rows onto the platform: check, upload, import, each waited for.

    Nothing is sent unless all rows are right; dataset check says what is wrong.
    """
    place = None if dst is None else place_of(dst)
    if not (place is None or isinstance(place, OnPlatform)):
        raise typer.BadParameter(f"{dst!r} is no dataset on the platform; write qianfan://ds-…", param_hint="DST")
    save(
        context,
        src,
        dst,
        dataset_name=dataset_name,
        dataset_template_type=dataset_template_type,
        dataset_storage_type=dataset_storage_type,
        bos_path=bos_path,
        release=release,
        format=format,
        file_format=file_format,
        json=json,
    )


def download(
    context: typer.Context,
    src: Annotated[str, typer.Argument(help="A dataset on the platform: qianfan://ds-…, ds-…, or its number.")],
    dst: Annotated[
        str | None, typer.Argument(help="The file to write; <id>.jsonl when left out.", show_default=False)
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The file to write, as an option.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Write the rows of a dataset on the platform into a file, in the platform's form.

    A file of that name is replaced once all rows are there.
    """
    place = place_of(src)
    if not isinstance(place, OnPlatform):
        raise typer.BadParameter(f"{src!r} is no dataset on the platform; write qianfan://ds-…", param_hint="SRC")
    if dst is not None and output is not None:
        raise typer.BadParameter("name the file by either DST or --output")
    save(context, src, str(output or dst or f"{place.id}.jsonl"), json=json)


def save(
    context: typer.Context,
    src: Source,
    dst: Annotated[
        str | None,
        typer.Argument(
            help="A file, a dataset to add to (qianfan://ds-…), or bos:/bucket/path; else a new dataset.",
            show_default=False,
        ),
    ] = None,
    dataset_name: DatasetName = None,
    dataset_template_type: TemplateType = None,
    dataset_storage_type: StorageType = Storage.PrivateBos,
    bos_path: BosFolder = None,
    release: Release = False,
    format: Format = None,
    file_format: FileFormat = None,
    json: Json = False,
) -> None:
    """Save rows from any place to any other; as a new dataset on the platform when no place is named.

    They get the platform's form; dataset convert writes others.
    """
    source, target = place_of(src), None if dst is None else place_of(dst)
    reading = {"format": format, "file_format": file_format}
    if isinstance(target, (Path, InStorage)):
        _to_file(source, str(target), reading, json=json)
        return
    bucket, folder = bucket_and_folder(bos_path)
    name = None if target is not None else dataset_name or _name_of(source)
    _to_platform(
        source,
        _target(target, name, bucket, folder, dataset_storage_type, dataset_template_type),
        reading,
        release=release,
        last_words=context.ensure_object(Invocation).last_words,
        json=json,
    )


def _to_file(source: Place, file: str, reading: Mapping[str, str | None], *, json: bool) -> None:
    from qianfan._sync import run_sync
    from qianfan.cli.output import err
    from qianfan.cli.transfer import transfer

    async def go() -> Dataset:
        dataset = await aload_here(source, view, **reading)
        view.begins("writing")
        return await dataset.asave(data_file=file)

    with transfer(err()) as view:
        saved = run_sync(go)
    tell_file(saved, json=json)


def convert(
    src: Source,
    dst: Annotated[str, typer.Argument(help="The file to write; how it holds rows is told by the end of its name.")],
    to: Annotated[str, typer.Option(help="Shape to write: messages, alpaca, sharegpt, dialogue, …")],
    from_: Annotated[
        str | None,
        typer.Option("--from", help="Shape of the rows of SRC, if it cannot be told.", show_default=False),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(help="How DST holds its rows: jsonl, json, csv, …; by its name if left out.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Write rows in another shape, and into another kind of file. What that shape cannot say is an error, not lost."""
    from qianfan._sync import run_sync
    from qianfan.cli.output import err
    from qianfan.cli.transfer import transfer

    source = place_of(src)

    async def go() -> Dataset:
        dataset = await aload_here(source, view, format=from_)
        view.begins("converting")
        return await dataset.asave(data_file=dst, file_format=file_format, format=to)

    with transfer(err()) as view:
        saved = run_sync(go)
    tell_file(saved, json=json)


def _name_of(source: Place) -> str:
    """What a new dataset is called when nobody says: as the file is, without its ending."""
    return f"copy of {source.id}" if isinstance(source, OnPlatform) else Path(str(source)).stem


def _target(
    dataset: OnPlatform | None, name: str | None, bucket: str, folder: str, storage: Storage, template: Template | None
) -> UploadTarget:
    from qianfan.dataset.upload import UploadTarget
    from qianfan.resources.console.consts import DataTemplateType

    return UploadTarget(
        bucket,
        folder,
        dataset_id=dataset.id if dataset is not None else None,
        name=name or "",
        template_type=None if template is None else DataTemplateType[template.name],
        owns_storage=storage is Storage.PrivateBos,
    )


def _to_platform(
    source: Place,
    target: UploadTarget,
    reading: Mapping[str, str | None],
    *,
    release: bool,
    last_words: list[str],
    json: bool,
) -> None:
    from qianfan._sync import run_sync
    from qianfan.cli.output import err, print_facts, print_json
    from qianfan.cli.transfer import transfer
    from qianfan.dataset.upload import upload
    from qianfan.errors import RequestError, ValidationError

    seen: list[DatasetInfo] = []

    def look(info: DatasetInfo) -> None:
        view.begins("importing")
        seen[:] = [info]

    async def go() -> QianfanDataSource:
        dataset = await aload_here(source, view, **reading)
        view.begins("checking")
        uploaded = await upload(local_rows(dataset), target, on_progress=view.step("uploading"), on_look=look)
        if release:
            view.begins("releasing")
            await uploaded.arelease_dataset()
        else:
            await uploaded.arefresh()
        return uploaded

    try:
        with transfer(err()) as view:
            uploaded = run_sync(go)
    except ValidationError:
        last_words.append(f"All that is wrong, and how to mend it: qianfan dataset check {source}")
        raise
    except (KeyboardInterrupt, RequestError):
        last_words.append(
            f"The platform goes on importing into dataset {seen[0].dataset_id}: a second upload would repeat the rows."
            if seen
            else "What has arrived in the bucket stays there: the same command goes on from it."
        )
        raise
    facts = facts_of(uploaded)
    if json:
        print_json(facts)
    else:
        print_facts(facts)


def facts_of(uploaded: QianfanDataSource) -> dict[str, Any]:
    """A dataset of the platform, as JSON values."""
    from qianfan.resources.console.consts import DataReleaseStatus

    template = uploaded.template_type
    return {
        "dataset_id": uploaded.dataset_id,
        "number": uploaded.old_dataset_id,
        "name": uploaded.name,
        "template_type": getattr(template, "name", template),
        "rows": uploaded.row_number,
        "released": uploaded.release_status == DataReleaseStatus.Finished,
    }
