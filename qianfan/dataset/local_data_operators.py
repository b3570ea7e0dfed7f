"""The older SDK's operators that clean texts on this machine, which are not here: naming one says what to use."""

from typing import NoReturn

from qianfan.errors import NotImplmentError


def __getattr__(name: str) -> NoReturn:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    raise NotImplmentError(
        f"{name}: there are no local cleaning operators; use ds.filter and ds.map with a function, "
        "ds.dedup(near=True), or the operators of the platform with ds.online_data_process"
    )
