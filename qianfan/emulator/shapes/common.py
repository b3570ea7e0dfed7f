"""Shapes that several areas share: times, pages of a list, who is who."""

from __future__ import annotations

from qianfan.emulator.shapes.vocabulary import Flag, Key, Maybe, Obj, Shape, Text, Whole, optional

NAME = Text(2, 20)
"""Of a job or a service."""

UTC_TIME = Text(pattern=r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
ZONED_TIME = Text(pattern=r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\+08:00")
BEIJING_TIME = Text(pattern=r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})?")
"""Empty where something has not happened and the answer does not say it with zeros."""

PAGING: dict[str, Shape] = {
    "marker": optional(Text()),
    "maxKeys": optional(Whole(1)),
    "pageReverse": optional(Flag()),
}
"""Fields of every V2 list."""

PAGE_INFO = Obj(marker=Text(), maxKeys=Whole(1, 100), isTruncated=Flag(), nextMarker=Maybe(Text(1)))

REASON: dict[str, Shape] = {"errMessage": Maybe(Text(1))}
"""Why something failed; in detail answers alone."""

JOB = Key("a job, `job-…`")
TASK = Key("a task, `task-…`")
MODEL_SET = Key("a model set, `am-…`")
MODEL = Key("a model version, `amv-…`")
SERVICE = Key("a service, `svco-…`")
GROUP = Key("a dataset, `dg-…`")
VERSION = Key("a dataset version, `ds-…`")
