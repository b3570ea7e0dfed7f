"""An emulated platform for every test of models and services."""

from tests.support.emulated import client, clock, emulator, platform

__all__ = ["client", "clock", "emulator", "platform"]
