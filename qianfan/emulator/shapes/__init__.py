"""What every call takes and gives, as data: it checks the bodies, and the OpenAPI description is written from it."""

from __future__ import annotations

from qianfan.emulator.shapes import (
    batch_inference,
    charge,
    datasets,
    evaluations,
    finetuning,
    inference,
    models,
    services,
    tokens,
)
from qianfan.emulator.shapes.vocabulary import Form

AREAS: dict[str, dict[str, Form]] = {
    "Fine-tuning": finetuning.FORMS,
    "Datasets": datasets.FORMS,
    "Models": models.FORMS,
    "Services": services.FORMS,
    "Billing": charge.FORMS,
    "Evaluation": evaluations.FORMS,
    "Batch inference": batch_inference.FORMS,
    "Inference": inference.FORMS,
    "Tokens": tokens.FORMS,
}
"""Area -> endpoint -> its form. An endpoint is a V2 Action, the path of a V1 call below its prefix, or a path."""

FORMS: dict[str, Form] = {endpoint: form for forms in AREAS.values() for endpoint, form in forms.items()}
