"""The dataset that is there from the start: number 111, annotated, imported and released."""

from __future__ import annotations

from pathlib import Path

from qianfan.emulator.account import Account
from qianfan.emulator.catalogue import DATA
from qianfan.emulator.records import Dataset, Group, Part

SAMPLE_NUMBER = 111
SAMPLE_ID = "ds-sampledataset111"


def sample_path() -> Path:
    """A file of dialogue rows in the platform's format, one JSON list of turns a line."""
    return DATA / "sample.jsonl"


def add_sample(account: Account) -> Dataset:
    """Put the sample dataset into an account."""
    now, path = account.now(), sample_path()
    group = Group(
        id="dg-sampledataset111",
        number=SAMPLE_NUMBER,
        created=now,
        name="sample",
        data_format="PromptResponse",
        storage_type="sysStorage",
        version_ids=[SAMPLE_ID],
    )
    source = account.keep(account.blobs.put(path.read_bytes()), path.name)
    dataset = Dataset(
        id=SAMPLE_ID,
        number=SAMPLE_NUMBER,
        created=now,
        modified=now,
        group_id=group.id,
        version=1,
        import_state="ImportFinished",
        release_state="Published",
        sources=[Part.of(source, origin="0", imported=now)],
        imports=1,
    )
    account.groups.put_back(group)
    account.datasets.put_back(dataset)
    rows = account.scan([source], account.template_of(dataset))
    dataset.rows, dataset.annotated_rows = rows.rows, rows.annotated
    dataset.characters, dataset.size = rows.characters, rows.bytes
    account.touch()
    return dataset
