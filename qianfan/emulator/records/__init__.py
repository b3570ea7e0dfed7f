"""What one account owns, as plain records. They point at each other by id, so they can be written down as JSON.

Words are V2's: a job holds tasks, a model set holds models, a dataset group holds versions. Each record has the
number that V1 knows it by.
"""

from qianfan.emulator.records.base import Record, Source
from qianfan.emulator.records.batch import BatchTask
from qianfan.emulator.records.charge import ComputeUnit, TpmInstance
from qianfan.emulator.records.datasets import (
    Augmentation,
    Cleaning,
    Dataset,
    Export,
    ExportTask,
    Filling,
    Group,
    ImportTask,
    Part,
)
from qianfan.emulator.records.evaluations import EvalExport, Evaluation, EvalUnit
from qianfan.emulator.records.models import CompTask, ConfFile, Model, ModelSet
from qianfan.emulator.records.objects import StoredObject
from qianfan.emulator.records.services import Calls, Service, Usage
from qianfan.emulator.records.training import Job, Task

__all__ = [
    "Augmentation",
    "BatchTask",
    "Calls",
    "Cleaning",
    "CompTask",
    "ComputeUnit",
    "ConfFile",
    "Dataset",
    "EvalExport",
    "EvalUnit",
    "Evaluation",
    "Export",
    "ExportTask",
    "Filling",
    "Group",
    "ImportTask",
    "Job",
    "Model",
    "ModelSet",
    "Part",
    "Record",
    "Service",
    "Source",
    "StoredObject",
    "Task",
    "TpmInstance",
    "Usage",
]
