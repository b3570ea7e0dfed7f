"""Pipeline files as the platform's earlier SDK writes them, cut down to what differs. Written again by hand."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.support.emulated import MODEL, SAMPLE

DATASETS = {"versions": [{"versionId": SAMPLE, "samplingRate": 2.0}], "sourceType": "Platform"}
CORPUS = {"copyData": True, "config": [{"proportion": "1:2", "corpusType": 3, "labels": ["文本创作"]}]}
FIELDS = (
    "batch_size", "logging_steps", "warmup_ratio", "weight_decay", "lora_rank", "lora_all_linear", "scheduler_name",
    "lora_alpha", "lora_dropout", "lora_target_modules",
)  # fmt: skip

LOAD: dict[str, Any] = {
    "id": "h4ACSUBWcl",
    "type": "LoadDataSetAction",
    "datasets": DATASETS,
    "output": None,
    "eval_split_ratio": 10.0,
    "corpus_config": CORPUS,
}
TRAIN: dict[str, Any] = {
    "id": "uBe0vjkacs",
    "type": "TrainAction",
    "init_params": {
        "job_id": None,
        "task_id": None,
        "train_mode": "SFT",
        "train_type": MODEL,
        "train_config": {
            "peft_type": "LoRA",
            "trainset_rate": None,
            "extras": {},
            "resource_config": {"resource_id": None, "node_num": 2, "idle_resource": None, "extras": {}},
            "epoch": 2,
            "learning_rate": 0.0003,
            "max_seq_len": 4096,
            **dict.fromkeys(FIELDS),
        },
        "is_incr": False,
        "job_name": "mine",
        "task_description": "td",
        "job_description": "jd",
    },
    "job_id": None,
    "task_id": None,
    "status": None,
    "progress": 0,
    "vdl_link": None,
    "log_link": None,
    "input": None,
    "output": None,
}
PUBLISH: dict[str, Any] = {
    "id": "OqeF1cSRSK",
    "type": "ModelPublishAction",
    "input": {"task_id": None, "job_id": None},
}
DEPLOY: dict[str, Any] = {
    "id": "wgdHoXtRTF",
    "type": "DeployAction",
    "init_params": {
        "deploy_config": {
            "name": "svc",
            "endpoint_prefix": "",
            "endpoint_suffix": "mine",
            "description": "",
            "replicas": 1,
            "qps": None,
            "resource_type": "GPU-I-2",
            "months": None,
            "hours": 1,
            "pool_type": 2,
            "service_type": "Chat",
            "extras": None,
        }
    },
    "input": {"model_set_id": None, "model_id": None},
}
EVALUATE: dict[str, Any] = {"id": "QbI26zpRty", "type": "EvaluateAction", "init_params": {}}


def pipeline(*actions: dict[str, Any], case: str | None = "Finetune", **changes: Any) -> dict[str, Any]:
    """The content of a file, fresh for every test."""
    content = {
        "id": "YudD7ZctgT",
        "current_action": "",
        "process_id": 14016,
        "actions": [*(actions or (LOAD, TRAIN, PUBLISH, DEPLOY))],
        **({"case_init_params": {"case_type": case}} if case is not None else {}),
        **changes,
    }
    return deepcopy(content)


def plain(mode: str = "SFT", **changes: Any) -> tuple[dict[str, Any], ...]:
    """The steps of a training on the sample with nothing but its model, loaded, trained and published."""
    load = {**LOAD, "datasets": {"versions": [{"versionId": SAMPLE}], "sourceType": "Platform"}, "eval_split_ratio": 20}
    del load["corpus_config"]
    made = {**TRAIN["init_params"], "train_mode": mode, "job_name": "job_egdlE7yuXf", **changes}
    made["train_config"] = {**made["train_config"], "resource_config": None, "epoch": 1}
    train = {**TRAIN, "init_params": {**made, "task_description": None, "job_description": None}}
    return load, train, PUBLISH


def done(task_id: str, job_id: str, model_id: str, set_id: str, service_id: str) -> dict[str, Any]:
    """What a run leaves behind that has come to its end."""
    content = pipeline(current_action="wgdHoXtRTF")
    load, train, publish, deploy = content["actions"]
    loaded = {"datasets": {**DATASETS, "splitRatio": 10.0}, "corpus_config": CORPUS}
    trained = {**loaded, "task_id": task_id, "job_id": job_id, "metrics": {"BLEU-4": "19.01%"}, "checkpoints": []}
    load["output"] = train["input"] = loaded
    train |= {"job_id": job_id, "task_id": task_id, "status": "Done", "progress": 66, "output": trained}
    train |= {"vdl_link": "https://example.com/vdl", "log_link": "https://example.com/log"}
    published = {**trained, "model_set_id": set_id, "model_id": model_id}
    publish |= {"input": {"task_id": task_id, "job_id": job_id}, "model_id": model_id, "output": published}
    deploy["output"] = {"service_id": service_id, "service_endpoint": "1ncf4vb5_mine"}
    return content


def write(folder: Path, content: Any) -> Path:
    """A file of that content."""
    path = folder / "pipeline.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path
