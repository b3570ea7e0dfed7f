"""The kinds of datasets as classes, for checking that a dataset is of the kind one thinks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qianfan.dataset.consts import DataTemplateType
from qianfan.errors import InvalidArgumentError

if TYPE_CHECKING:
    from qianfan.dataset.dataset import Dataset
    from qianfan.dataset.report import Report


class Schema:
    """A kind of dataset."""

    template_type: ClassVar[DataTemplateType]

    def validate(self, table: Dataset) -> Report:
        """Read a local dataset and report all that is wrong with its rows.

        Raises InvalidArgumentError if the dataset is of another kind.
        """
        self.expect(table.template_type, repr(table))
        return table.validate()

    def expect(self, found: DataTemplateType | int | None, name: str) -> None:
        """Raise InvalidArgumentError unless a dataset is of this kind; one of unknown kind passes."""
        if found is not None and found != self.template_type:
            what = found.name if isinstance(found, DataTemplateType) else found
            raise InvalidArgumentError(f"{name} is of kind {what}, not {self.template_type.name}")


class QianfanNonSortedConversation(Schema):
    """Conversations with one answer to each question: supervised fine-tuning."""

    template_type = DataTemplateType.NonSortedConversation


class QianfanSortedConversation(Schema):
    """Conversations whose last question has several ranked answers."""

    template_type = DataTemplateType.SortedConversation


class QianfanPromptChosenRejected(Schema):
    """Conversations that end in a better and a worse answer: preference training."""

    template_type = DataTemplateType.PromptChosenRejected


class QianfanGenericText(Schema):
    """Plain text: continued pre-training."""

    template_type = DataTemplateType.GenericText


class QianfanQuerySet(Schema):
    """Questions without answers."""

    template_type = DataTemplateType.QuerySet


class QianfanText2Image(Schema):
    """Images with their descriptions."""

    template_type = DataTemplateType.Text2Image
