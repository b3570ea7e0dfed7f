"""The kinds of datasets as classes, for checking that a dataset is of the kind one thinks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.reading import RowProblem
from qianfan.dataset.report import Group, Report
from qianfan.errors import InvalidArgumentError

if TYPE_CHECKING:
    from qianfan.dataset.table import Table


class Schema(ABC):
    """A kind of dataset."""

    def validate(self, table: Table, **options: Any) -> Report:
        """Read a dataset on this machine and report all that is wrong with its rows, or that it is of another kind.

        options: as `Table.validate` takes them. The report is false when there is anything wrong.
        """
        other = self._other_kind(table)
        if not other:
            return table.validate(**options)
        problem = RowProblem(0, 0, other, rule="kind")
        group = Group("kind", "error", "", 1, "use the schema of that kind, or map the rows to this one", (problem,))
        return Report(table.name, len(table), 0, 1, (problem,), groups=(group,))

    def expect(self, table: Table) -> None:
        """Raise InvalidArgumentError unless a dataset is of this kind; one of which it is not known passes."""
        other = self._other_kind(table)
        if other:
            raise InvalidArgumentError(f"{table!r} {other}")

    @abstractmethod
    def _other_kind(self, table: Table) -> str:
        """That a dataset is of another kind, and of which; empty when it is of this one, or nobody knows."""


class QianfanSchema(Schema):
    """A kind of dataset that the platform has."""

    template_type: ClassVar[DataTemplateType]

    def _other_kind(self, table: Table) -> str:
        found = table.template_type
        if found == self.template_type:
            return ""
        if found is not None:
            what = found.name if isinstance(found, DataTemplateType) else found
            return f"is of kind {what}, not {self.template_type.name}"
        shape = table.local_source.shape if table.is_local else None
        return (
            "" if shape is None else f"has rows of the shape {shape.name}, and is not of kind {self.template_type.name}"
        )


class EvaluationSchema(Schema):
    """What a model answered, to be judged: rows with `input`, `output` and `reference`."""

    def _other_kind(self, table: Table) -> str:
        shape = table.local_source.shape if table.is_local else None
        if shape is None or shape.name == "answers":
            return ""
        return (
            f"has rows of the shape {shape.name}, and not the columns input, output and reference that answers have; "
            "col_renames gives them these names"
        )


class QianfanNonSortedConversation(QianfanSchema):
    """Conversations with one answer to each question: supervised fine-tuning."""

    template_type = DataTemplateType.NonSortedConversation


class QianfanSortedConversation(QianfanSchema):
    """Conversations whose last question has several ranked answers."""

    template_type = DataTemplateType.SortedConversation


class QianfanPromptChosenRejected(QianfanSchema):
    """Conversations that end in a better and a worse answer: preference training."""

    template_type = DataTemplateType.PromptChosenRejected


class QianfanGenericText(QianfanSchema):
    """Plain text: continued pre-training."""

    template_type = DataTemplateType.GenericText


class QianfanQuerySet(QianfanSchema):
    """Questions without answers."""

    template_type = DataTemplateType.QuerySet


class QianfanText2Image(QianfanSchema):
    """Images with their descriptions."""

    template_type = DataTemplateType.Text2Image
