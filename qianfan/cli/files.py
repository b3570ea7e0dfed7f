"""What a command says about a file of rows that it has written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qianfan.dataset import Dataset


def tell_file(saved: Dataset, *, json: bool) -> None:
    """What has been written."""
    from qianfan.cli.output import out, print_json
    from qianfan.dataset.report import counted

    template = saved.template_type
    facts = {"file": saved.name, "template_type": getattr(template, "name", template), "rows": len(saved)}
    if json:
        print_json(facts)
    else:
        out().print(f"{counted(len(saved), 'row')} written to {saved.name}", markup=False)
