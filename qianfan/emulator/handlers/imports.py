"""Models that are imported from a bucket, and what can be set about them.

Most inner names of `importMeta`, and the answers of the calls about settings, are not documented. What is chosen here
stands in the tables below: a field under one of these names is checked, any other one is kept as it is.
"""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call
from qianfan.emulator.checks import Body, found
from qianfan.emulator.handlers.models import add_version, model_of
from qianfan.emulator.records import ConfFile, Model, ModelSet
from qianfan.emulator.refusals import Problem, Refused, invalid

FORMATS = ("HuggingFace.Transformers", "Safetensors")
IO_MODES = ("chat", "completion", "Text-to-Image")
TRANSFORMERS = ("4.34.0", "4.36.2", "4.39.3", "4.40.2")
VLLM = ("0.3.2", "0.4.0")
SAMPLINGS = ("multinomialSampling", "beamSearch", "greedySearch")

_CHAT_CONF = {"historyTemplate": (1, 200), "latestTemplate": (1, 200), "promptTemplate": (0, 300)}
"""A template of `chatConf` -> the lengths it may have."""
_CUSTOM_SPEC = "customSpecFile"
_LARGEST_CONF = 2**20


def import_model(account: Account, model_set: ModelSet, body: Body) -> Model:
    """A new version of a set, made of the files that `importMeta` names."""
    meta = Body(body.object("importMeta"))
    bucket, path = meta.text("bucket"), meta.text("objectPath").lstrip("/")
    if not account.buckets.under(bucket, path):
        raise invalid("objectPath", f"bucket {bucket!r} holds nothing at {path!r}")
    meta.one_of("modelFormat", FORMATS)
    for key, allowed in (("ioMode", IO_MODES), ("transformersVersion", TRANSFORMERS), ("vllmVersion", VLLM)):
        if meta.get(key) is not None:
            meta.one_of(key, allowed)
    _check_templates(account, meta)
    _check_compression(Body(meta.object("compressionConf", required=False)))
    description = body.optional_text("description", longest=300)
    model = add_version(
        account,
        model_set,
        description=description,
        source_type="Import",
        import_meta=dict(meta.fields),
        io_mode=meta.get("ioMode") or "chat",
    )
    account.works.start_publishing(model)
    return model


def _check_templates(account: Account, meta: Body) -> None:
    if meta.get("chatConf") is not None and meta.get("customSpec") is not None:
        raise invalid("customSpec", "chatConf and customSpec exclude each other")
    chat = Body(meta.object("chatConf", required=False))
    for key, (shortest, longest) in _CHAT_CONF.items():
        if chat.get(key) is not None:
            chat.text(key, shortest=shortest, longest=longest)
    spec = Body(meta.object("customSpec", required=False))
    if spec.get("displayName") is not None:
        spec.text("displayName", longest=200)
    if spec.get(_CUSTOM_SPEC) is not None:
        found(account.conf_files.get(spec.get(_CUSTOM_SPEC)), Problem.INVALID, _CUSTOM_SPEC, spec.get(_CUSTOM_SPEC))


def _check_compression(conf: Body) -> None:
    if conf.get("samplingMode") is not None:
        conf.one_of("samplingMode", SAMPLINGS)
    conf.number("numReturnSequences", 1, 15, default=1)
    conf.number("numBeams", 2, 15, default=2)


def create_model_custom_conf(call: Call) -> JSON:
    """`CreateModelCustomConf`: a form with one `.py` file. How the answer names it is not documented."""
    account, part = call.account, call.body.get(_CUSTOM_SPEC)
    if not isinstance(part, dict):
        raise invalid(_CUSTOM_SPEC, f"a form with the file {_CUSTOM_SPEC} is needed")
    name, content = str(part["name"]), str(part["content"]).encode()
    if not name.endswith(".py") or len(content) >= _LARGEST_CONF:
        raise invalid(_CUSTOM_SPEC, f"{name!r} of {len(content)} bytes must end in .py and be smaller than 1 MB")
    shelf = account.conf_files
    source = account.keep(account.blobs.put(content), name)
    file = ConfFile(id=account.new_id(shelf), number=shelf.next_number, created=account.now(), source=source)
    account.touch()
    return {_CUSTOM_SPEC: shelf.add(file).id}


def describe_model_system_advanced_conf(call: Call) -> JSON:
    """`DescribeModelSystemAdvancedConf`: what can be set about an imported model."""
    body = call.body
    kind = body.one_of("modelApplicationType", ["chat", "completion"])
    format = body.one_of("modelFormat", FORMATS) if body.get("modelFormat") is not None else FORMATS[0]
    return {
        "modelApplicationType": kind,
        "modelFormat": format,
        "transformersVersion": list(TRANSFORMERS),
        "vllmVersion": list(VLLM),
        "samplingMode": list(SAMPLINGS),
        "numReturnSequences": [1, 15],
        "numBeams": [2, 15],
    }


def describe_model_custom_advanced_conf(call: Call) -> JSON:
    """`DescribeModelCustomAdvancedConf`: what was set about an imported model."""
    model = model_of(call.account, call.body.get("modelId"))
    if model.source_type != "Import":
        raise Refused(Problem.STATE, "modelId", f"{model.id} was not imported")
    about_files = ("bucket", "objectPath")
    return {"modelId": model.id, **{key: value for key, value in model.import_meta.items() if key not in about_files}}
