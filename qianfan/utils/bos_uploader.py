"""The documented home of `BosHelper` and of the functions about places in object storage."""

from qianfan._lazy import lazy_names

# What stands here lives higher up, where there is a client; nothing below needs it.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "qianfan.resources.bos_helper": [
            "BosHelper",
            "generate_bos_file_parent_path",
            "generate_bos_file_path",
            "is_valid_bos_path",
            "parse_bos_path",
        ]
    },
)
