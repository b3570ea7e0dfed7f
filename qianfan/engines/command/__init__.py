"""The engine `command`: an outside trainer in an environment of its own, given a configuration in LLaMA-Factory's keys.

It is watched through what LLaMA-Factory leaves in its output folder: `trainer_log.jsonl` and `checkpoint-N` folders.
Whatever writes those can stand in its place.
"""

from qianfan.engines.command.engine import CommandBackend

__all__ = ["CommandBackend"]
