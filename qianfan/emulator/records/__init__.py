"""What one account owns, as plain records. They point at each other by id, so they can be written down as JSON.

Words are V2's: a job holds tasks, a model set holds models, a dataset group holds versions. Each record has the
number that V1 knows it by.
"""

from qianfan.emulator.records.base import Record, Source
from qianfan.emulator.records.datasets import Dataset, Export, Group, ImportTask
from qianfan.emulator.records.models import Model, ModelSet
from qianfan.emulator.records.objects import StoredObject
from qianfan.emulator.records.services import Service
from qianfan.emulator.records.training import Job, Task

__all__ = [
    "Dataset",
    "Export",
    "Group",
    "ImportTask",
    "Job",
    "Model",
    "ModelSet",
    "Record",
    "Service",
    "Source",
    "StoredObject",
    "Task",
]
