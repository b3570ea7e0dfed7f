"""Opening a platform: an account at a pace, with its state taken from a folder when there is one."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from qianfan._clock import Clock
from qianfan.emulator.account import Account, Keys
from qianfan.emulator.blobs import BlobStore
from qianfan.emulator.folder import Folder
from qianfan.emulator.handlers import batch_inference, evaluations
from qianfan.emulator.inquiries import Inquiries
from qianfan.emulator.lifecycle import Stages, stages_at, training_seconds
from qianfan.emulator.platform import Platform
from qianfan.emulator.sample import add_sample
from qianfan.emulator.scripted import Scripted
from qianfan.emulator.training.options import SCRIPTED, EngineOptions
from qianfan.emulator.training.workshop import Workshop
from qianfan.errors import InvalidArgumentError

BUCKET = "qianfan-emulator"
"""What clients use as a bucket of their own; it comes into being with its first object."""

_INTERVALS = {"instant": 0.005, "demo": 0.2}
"""Seconds by pace. Without any, a client whose training goes on would keep a core busy with asking."""
_COMPUTED_INTERVAL = 0.2
_COMPUTED = ("TRAIN_STATUS", "MODEL_PUBLISH_STATUS", "DEPLOY_STATUS")
_POLLED = (
    "IMPORT_STATUS",
    "EXPORT_STATUS",
    "RELEASE_STATUS",
    "ETL_STATUS",
    "TRAIN_STATUS",
    "MODEL_PUBLISH_STATUS",
    "MODEL_COMP_STATUS",
    "BATCH_RUN_STATUS",
    "DEPLOY_STATUS",
    "EVALUATION_ONLINE",
)


def check_keys(access_key: str | None, secret_key: str | None) -> None:
    """Raises InvalidArgumentError for half a pair, or for keys that are empty."""
    if "" in (access_key, secret_key):
        raise InvalidArgumentError("access_key and secret_key must not be empty; leave both out to take any keys")
    if (access_key is None) != (secret_key is None):
        raise InvalidArgumentError("access_key and secret_key belong together: give both or neither")


@dataclass(frozen=True)
class Opened:
    """A platform with what its owner holds on to."""

    platform: Platform
    account: Account
    stages: Stages
    blobs: BlobStore
    folder: Folder | None

    def start(self) -> None:
        """Take over what an earlier emulator left in the folder, and make sure the sample dataset is there."""
        if self.folder is not None:
            self.folder.lock()
            try:
                self.folder.load()
            except InvalidArgumentError:
                self.folder.unlock()
                raise
        if not self.account.datasets:
            add_sample(self.account)
        self.account.works.resume()
        batch_inference.resume(self.account)
        evaluations.resume(self.account)
        if self.folder is not None:
            self.folder.save_now()

    def save(self) -> None:
        """Write the state to the folder now, when there is one."""
        if self.folder is not None:
            self.folder.save_now()

    def close(self) -> None:
        """End all work, and remove temporary files."""
        self.account.inquiries.close()
        self.account.works.close()
        self.blobs.close()
        if self.folder is not None:
            self.folder.unlock()


def prepare(
    *,
    pace: str | float,
    options: EngineOptions,
    keys: Keys | None,
    data_dir: str | Path | None,
    clock: Clock,
    seed: int,
) -> Opened:
    """Make a platform without touching anything yet. With `data_dir`, every change will be written there.

    Raises InvalidArgumentError for a pace there is none of.
    """
    place = Path(data_dir).resolve() if data_dir is not None else None
    is_scripted = options.engine == SCRIPTED
    stages = stages_at(pace, computed=not is_scripted)
    blobs = BlobStore(place / "blobs" if place else None)
    account = Account(clock=clock, stages=stages, blobs=blobs, keys=keys, seed=seed)
    folder = Folder(place, account) if place else None
    save = folder.save_now if folder else lambda: None
    account.inquiries = Inquiries(save)
    account.works = (
        Scripted(account)
        if is_scripted
        else Workshop(
            account,
            options,
            place=place / "training" if place else None,
            save=save,
        )
    )
    platform = Platform(account, save=folder.save if folder else None)
    return Opened(platform, account, stages, blobs, folder)


def polling_intervals(pace: str | float, options: EngineOptions) -> dict[str, float]:
    """Settings that make a client look as often as the work deserves: about twenty times in a training."""
    seconds = _INTERVALS.get(str(pace))
    if seconds is None:
        seconds = min(2.0, max(0.05, training_seconds(pace) / 20))
    intervals = {f"{name}_POLLING_INTERVAL": seconds for name in _POLLED}
    if options.engine != SCRIPTED:
        # What is computed takes its time whatever the pace, and every look takes some from it.
        intervals |= {f"{name}_POLLING_INTERVAL": _COMPUTED_INTERVAL for name in _COMPUTED}
    return intervals


def fresh_seed() -> int:
    """A seed of its own for every platform: with the same ids, what belongs to one would be found on another."""
    return secrets.randbits(48)
