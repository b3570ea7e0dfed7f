"""The rows of a version: `/entity/…`."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator.buckets import PLATFORM_BUCKET
from qianfan.emulator.calls import Call, Handler
from qianfan.emulator.checks import Body
from qianfan.emulator.cleaning import measures
from qianfan.emulator.cleaning.run import texts_in
from qianfan.emulator.entities import Entity, entities_of, find, key_of, label_of, remove, write, written
from qianfan.emulator.handlers.datasets import dataset_of, look_at
from qianfan.emulator.handlers.filling import under_way
from qianfan.emulator.handlers.storing import link
from qianfan.emulator.records import Dataset
from qianfan.emulator.refusals import Problem, Refused, invalid
from qianfan.emulator.scans import value_of
from qianfan.emulator.templates import BadRow

_ALL, _ANNOTATED, _NOT_ANNOTATED = 0, 1, 2


def list_entities(call: Call) -> JSON:
    """`/entity/list`: `totalAll` counts every row of the version, `total` those that are asked for."""
    account, body = call.account, call.body
    dataset = look_at(account, dataset_of(account, body.get("datasetId")), look=False)
    wanted = [entity for entity in entities_of(account, dataset) if _is_wanted(body, entity)]
    start, size = body.get("offset") or 0, body.get("pageSize") or 20
    items: list[JSON] = [_entry(call, dataset, entity) for entity in wanted[start : start + size]]
    return {"totalAll": dataset.rows, "total": len(wanted), "items": items}


def annotate(call: Call) -> JSON:
    """`/entity/annotate`: the row becomes `content`, or an image gets `labels`; training and exports take it so.

    Our reading of `labels`: their names, one after the other, are what the image shows.
    """
    account, body = call.account, call.body
    dataset = _open_to_changes(call)
    template = account.template_of(dataset)
    entity = find(account, dataset, body.get("id"))
    if entity is None:
        raise invalid("id", f"{dataset.id} has no row {body.get('id')!r}")
    labels: list[dict[str, JSON]] = []
    if template.data_format == "PromptImage" and entity.unit.image is not None:
        if not body.get("labels"):
            raise invalid("labels", "an image is annotated by labels")
        labels = [{**label_of(label["name"]), **label} for label in body.get("labels")]
        value: JSON = {"prompt": ", ".join(label["name"] for label in labels)}
    elif template.data_format == "Text":
        raise invalid("content", f"{dataset.id} holds plain texts, which are not annotated")
    else:
        value = body.get("content")
        if not value:
            raise invalid("content", "content must hold the turns of the row")
        # A row of prompts is one object, which comes in a list as every content does.
        value = value[0] if template.data_format in ("Prompt", "SFT_FIM") and len(value) == 1 else value
    try:
        template.read_row(value)
    except BadRow as problem:
        raise invalid("content", f"content does not fit the dataset: {problem}") from problem
    write(account, dataset, entity, written(value), labels)
    return True


def delete(call: Call) -> JSON:
    """`/entity/delete`: the ids that name no row come back."""
    account, body = call.account, call.body
    dataset = _open_to_changes(call)
    failed: list[JSON] = []
    for entity_id in dict.fromkeys(body.get("id")):
        entity = find(account, dataset, entity_id)
        if entity is None:
            failed.append(entity_id)
        else:
            remove(account, dataset, entity)
    return {"failedOnes": failed or None}


def _open_to_changes(call: Call) -> Dataset:
    account = call.account
    dataset = look_at(account, dataset_of(account, call.body.get("datasetId")), look=False)
    if dataset.release_state in ("Publishing", "Published"):
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} is published and takes no more changes")
    if under_way(account, dataset):
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} is being cleaned or augmented")
    return dataset


def _is_wanted(body: Body, entity: Entity) -> bool:
    tab, label = body.get("tabType") or _ALL, body.get("labelId")
    if tab != _ALL and entity.is_annotated is not (tab == _ANNOTATED):
        return False
    if label and all(told["label_id"] != label for told in entity.labels):
        return False
    imported, annotated = body.get("importTime"), body.get("annoTime")
    if imported and not imported[0] <= int(entity.imported.timestamp()) <= imported[1]:
        return False
    # Rows that came with their answers were annotated when they were imported.
    when = entity.annotated_at or (entity.imported if entity.is_annotated else None)
    return not annotated or (when is not None and annotated[0] <= int(when.timestamp()) <= annotated[1])


def _entry(call: Call, dataset: Dataset, entity: Entity) -> dict[str, JSON]:
    content = entity.unit.image[1] if entity.unit.image is not None else entity.unit.content
    return {
        "id": entity.id,
        "name": f"{entity.unit.file}#{entity.place + 1}" if entity.unit.image is None else entity.unit.image[0],
        "labels": entity.labels,
        "url": link(call, PLATFORM_BUCKET, key_of(dataset, entity)),
        "memorySize": round(len(content) / 2**20, 6),
        "isEncrypted": False,
        "textExtra": _facts(entity),
    }


def _facts(entity: Entity) -> dict[str, JSON]:
    text = "\n".join(texts_in(value_of(entity.unit))) if entity.unit.content else ""
    return {
        "domainType": "",
        "taskType": "",
        "wordNum": len(measures.words_of(text)),
        "repetitiveCharRatio": round(measures.character_repetition(text), 4),
        "specialCharRatio": round(measures.special_characters(text), 4),
        "flaggedWordRatio": round(measures.flagged_words(text), 4),
        "langProb": round(measures.language(text), 4),
        "perplexity": round(measures.Perplexity([text]).of(text), 4),
    }


PATHS: dict[str, Handler] = {
    "/entity/list": list_entities,
    "/entity/annotate": annotate,
    "/entity/delete": delete,
}
"""By path."""
