"""Nothing that opens an account is in the journal, whatever becomes of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qianfan._auth.tokens import TokenStore
from qianfan._transport import Client
from qianfan.config import Settings, default_settings
from qianfan.dataset import Dataset
from qianfan.emulator import Emulator, sample_path
from qianfan.errors import QianfanError
from qianfan.pipeline import Event
from qianfan.trainer import DeployConfig, LLMFinetune
from qianfan.trainer.state import journal_path
from tests.support.clock import JumpClock

pytestmark = pytest.mark.anyio

PLANTED = {
    "ak": "plantedApplicationKey",
    "sk": "plantedApplicationSecret",
    "access_token": "24.plantedaccesstoken",
    "bearer_token": "bce-v3/planted/bearertoken",
}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(engine="scripted") as emulator:
        yield emulator


def client_for(**changes: Any) -> Client:
    return Client(default_settings().replace(**{**PLANTED, **changes}), clock=JumpClock(), tokens=TokenStore())


def secrets_of(settings: Settings) -> dict[str, bytes]:
    found = {name: getattr(settings, name) for name in ("access_key", "secret_key", *PLANTED)}
    return {
        name: (value.get_secret_value() if hasattr(value, "get_secret_value") else value).encode()
        for name, value in found.items()
        if value
    }


def kept(settings: Settings) -> bytes:
    """Every byte of the journal and of the files beside it, the latest changes included."""
    path = journal_path(settings)
    files = [file for file in sorted(path.parent.rglob("*")) if file.is_file()]
    assert {path, Path(f"{path}-wal")} <= {*files}
    return b"".join(file.read_bytes() for file in files)


def require_no_secrets(client: Client) -> None:
    secrets, everything = secrets_of(client.settings), kept(client.settings)
    assert len(secrets) == 6
    assert [name for name, secret in secrets.items() if secret in everything] == []
    assert b"bce-auth-v1" not in everything
    assert b"uthorization" not in everything


async def keep_nothing(event: Event) -> None:
    """A handler, so that there are cursors too."""


async def test_a_whole_run_leaves_no_secret(emulator: Emulator) -> None:
    client = client_for()
    trainer = LLMFinetune(
        "ERNIE-Speed-8K",
        Dataset.load(data_file=str(sample_path())),
        deploy_config=DeployConfig(service_type="Chat"),
        event_handler=keep_nothing,
        client=client,
    )
    await trainer.arun()
    require_no_secrets(client)
    ids = [trainer.id, *(value for name, value in (trainer.output or {}).items() if name.endswith("_id"))]
    everything = kept(client.settings)
    assert [id for id in ids if str(id).encode() not in everything] == [], "it is this journal that was looked at"


@pytest.mark.parametrize("wrong", [{"secret_key": "plantedwrongsecret"}, {"access_key": "plantedwrongkey"}])
async def test_refused_keys_leave_no_secret(wrong: dict[str, str], emulator: Emulator) -> None:
    client = client_for(**wrong)
    trainer = LLMFinetune("ERNIE-Speed-8K", 111, client=client)
    with pytest.raises(QianfanError):
        await trainer.arun()
    require_no_secrets(client)
    assert trainer.id.encode() in kept(client.settings)


async def test_a_failed_run_leaves_no_secret(emulator: Emulator) -> None:
    emulator.training.script(ends="Failed")
    client = client_for()
    trainer = LLMFinetune("ERNIE-Speed-8K", 111, client=client)
    with pytest.raises(QianfanError):
        await trainer.arun()
    require_no_secrets(client)
