"""What a program written for the older SDK does; run by an interpreter that has that one, against an emulator.

Prints a line of JSON for each step: its name, and what it gave or how it failed. It stands alone: nothing of this
project is importable where it runs.
"""

import contextlib
import io
import json
import logging
import sys
import tempfile
import traceback
from pathlib import Path

import qianfan
from qianfan.dataset import Dataset
from qianfan.model import DeployConfig
from qianfan.model.consts import ServiceType
from qianfan.resources import Charge, Data, FineTune, Model, Service
from qianfan.resources.console import consts
from qianfan.resources.console.eval import Eval
from qianfan.trainer import LLMFinetune
from qianfan.trainer.configs import TrainConfig
from qianfan.trainer.consts import PeftType

logging.disable(logging.CRITICAL)
STEPS = []
MODEL = "ERNIE-Speed-8K"
KEPT = {}


def step(function):
    STEPS.append(function)
    return function


# --- training, as its users do it --------------------------------------------------------------------------------


@step
def train_publish_deploy_ask():
    dataset = Dataset.load(qianfan_dataset_id="111")
    trainer = LLMFinetune(
        train_type=MODEL,
        dataset=dataset,
        train_config=TrainConfig(epoch=1, peft_type=PeftType.LoRA),
        deploy_config=DeployConfig(name="older", endpoint_suffix="older1", service_type=ServiceType.Chat, replicas=1),
    )
    trainer.run()
    result = trainer.result[0]
    service = result["service"]
    KEPT.update(service=result["service_id"], task=trainer.train_action.task_id, job=trainer.train_action.job_id)
    KEPT.update(model=result["model"].id, model_set=result["model"].set_id, endpoint=result["service_endpoint"])
    answer = service.exec({"messages": [{"role": "user", "content": "hi"}]})
    return {"answer": answer["result"], "status": str(service.status), "model": KEPT["model"]}


@step
def fine_tuning():
    jobs = FineTune.V2.job_list(max_keys=5)["result"]
    tasks = FineTune.V2.task_list(job_id=KEPT["job"])["result"]
    job = FineTune.V2.create_job("another", MODEL, consts.TrainMode.SFT)["result"]["jobId"]
    versions = [{"versionId": KEPT.setdefault("sample", sample())}]
    task = FineTune.V2.create_task(
        job, "LoRA", {"epoch": 1}, {"sourceType": "Platform", "versions": versions, "splitRatio": 20}
    )["result"]["taskId"]
    stopped = FineTune.V2.stop_task(task)["result"]
    FineTune.V2.delete_task(task)
    FineTune.V2.delete_job(job)
    listed = [entry["taskId"] for entry in tasks["taskList"]]
    return {"jobs": len(jobs["jobList"]), "listed": KEPT["task"] in listed, "stopped": stopped}


def sample():
    return Data.get_dataset_info("111")["result"]["versionInfo"]["datasetPK"]


@step
def fine_tuning_v1():
    series = FineTune.create_task("older v1", MODEL, MODEL)["result"]
    run = FineTune.create_job(
        {
            "taskId": series["id"],
            "baseTrainType": MODEL,
            "trainType": MODEL,
            "trainMode": "SFT",
            "peftType": "LoRA",
            "trainConfig": {"epoch": 1, "learningRate": 0.0003},
            "trainset": [{"type": 1, "id": 111}],
            "trainsetRate": 20,
        }
    )["result"]
    status = FineTune.get_job(series["id"], run["id"])["result"]["trainStatus"]
    return {"status": status, "stopped": FineTune.stop_job(series["id"], run["id"])["result"]}


# --- datasets ----------------------------------------------------------------------------------------------------


@step
def datasets():
    made = Data.create_bare_dataset(
        "older_set",
        consts.DataSetType.TextOnly,
        consts.DataProjectType.Conversation,
        consts.DataTemplateType.NonSortedConversation,
    )["result"]
    KEPT["dataset"] = made["datasetId"]
    status = Data.get_dataset_status_in_batch([made["datasetId"]])["result"]
    listed = Data.list_all_entity_in_dataset(KEPT["sample"], page_size=3)["result"]
    entity = listed["items"][0]
    Data.create_dataset_export_task(KEPT["sample"], consts.DataExportDestinationType.PlatformBos)
    Data.get_dataset_info(KEPT["sample"])
    records = Data.get_dataset_export_records(KEPT["sample"])["result"]
    return {
        "statuses": list(status) == [made["datasetId"]],
        "entities": [len(listed["items"]), "id" in entity or "entityId" in entity],
        "exports": len(records),
    }


@step
def datasets_v2():
    made = Data.V2.create_dataset("older_v2", consts.V2.DatasetFormat.PromptResponse, consts.V2.StorageType.SysStorage)
    group, version = made["result"]["datasetId"], made["result"]["versionId"]
    second = Data.V2.create_dataset_version(group, "second")["result"]["versionId"]
    versions = Data.V2.get_dataset_version_list(group)["result"]["versionList"]
    info = Data.V2.get_dataset_version_info(version)["result"]
    Data.V2.delete_dataset_version(second)
    Data.V2.delete_dataset(group)
    return {"versions": len(versions), "id": info["versionId"] == version}


@step
def cleaning_and_augmenting():
    source = Data.create_bare_dataset(
        "older_text",
        consts.DataSetType.TextOnly,
        consts.DataProjectType.GenericText,
        consts.DataTemplateType.GenericText,
    )["result"]["datasetId"]
    tasks = Data.get_dataset_etl_task_list()["result"]
    augmented = Data.get_dataset_aug_task_list()["result"]
    return {"source": bool(source), "etl": tasks["total"], "augmented": augmented["total"]}


# --- models and services -----------------------------------------------------------------------------------------


@step
def models():
    detail = Model.detail(KEPT["model"])["result"]
    family = Model.list(KEPT["model_set"])["result"]
    described = Model.V2.describe_model(KEPT["model"])["result"]
    sets = Model.V2.describe_custom_model_sets()["result"]["modelSetList"]
    Model.preset_list()
    Model.user_list()
    Model.evaluable_model_list()
    Model.V2.describe_system_model_sets()
    empty = Model.V2.create_custom_model_set("older_empty", consts.CustomModelSetModelType.Text2Text)["result"]
    Model.V2.delete_model_set(empty)
    return {
        "state": detail["state"],
        "versions": len(family["modelVersionList"]),
        "status": described["status"],
        "listed": KEPT["model_set"] in [entry["modelSetId"] for entry in sets],
    }


@step
def compression():
    task = Model.V2.create_model_comp_task(
        "older", KEPT["model"], {"strategy": "Quantization", "weight": "INT8-PTQ"}, KEPT["model_set"]
    )["result"]
    for _ in range(20):
        found = Model.V2.describe_model_comp_task(task)["result"]
        if found["status"] in ("succeeded", "failed"):
            break
    Model.V2.describe_model_comp_tasks(source_model_id=KEPT["model"])
    return {"status": found["status"], "made": str(found.get("modelId", "")).startswith("amv-")}


@step
def services():
    detail = Service.V2.service_detail(KEPT["service"])["result"]
    listed = Service.V2.service_list()["result"]["serviceList"]
    Service.V2.describe_preset_services()
    Service.V2.service_metric("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", service_id=[KEPT["service"]])
    v1 = Service.list()["result"]
    return {"status": detail["runStatus"], "listed": len(listed), "v1": sorted(v1)[:2]}


@step
def units():
    found = Charge.get_service_resource_list(KEPT["service"])["result"]
    credit = Charge.charge_tpm_credit("ERNIE-Speed-8K", 1, {"paymentTiming": "Postpaid"})["result"]["instanceId"]
    instances = Charge.tpm_credit_info("ERNIE-Speed-8K")["result"]["instances"]
    Charge.stop_tpm_credit_charging("ERNIE-Speed-8K", credit)
    return {"units": bool(found), "credit": credit in [entry["instanceId"] for entry in instances]}


# --- evaluation and batch inference ------------------------------------------------------------------------------


@step
def evaluation_v2():
    Eval.V2.describe_eval_tasks("model")
    return {}


@step
def batch_inference():
    listed = Data.list_offline_batch_inference_task()["result"]
    return {"tasks": listed["taskList"]}


# --- inference ---------------------------------------------------------------------------------------------------


@step
def chat():
    messages = [{"role": "user", "content": "你好"}]
    client = qianfan.ChatCompletion()
    pieces = [piece["result"] for piece in client.do(messages=messages, stream=True)]
    whole = client.do(messages=messages)["result"]
    return {"same": "".join(pieces) == whole, "said": "你好" in whole}


@step
def chat_v2():
    messages = [{"role": "user", "content": "你好"}]
    client = qianfan.ChatCompletion(version=2)
    whole = client.do(model="ernie-speed-8k", messages=messages)["choices"][0]["message"]["content"]
    pieces = client.do(model="ernie-speed-8k", messages=messages, stream=True)
    parts = [piece["choices"][0]["delta"].get("content") or "" for piece in pieces if piece["choices"]]
    return {"same": "".join(parts) == whole, "said": "你好" in whole}


@step
def many_chats():
    asked = [[{"role": "user", "content": str(number)}] for number in range(5)]
    answers = qianfan.ChatCompletion().batch_do(asked, worker_num=2).results()
    return {"answers": [str(number) in answer["result"] for number, answer in enumerate(answers)]}


@step
def other_kinds():
    vectors = qianfan.Embedding().do(texts=["猫", "狗"])["data"]
    picture = qianfan.Text2Image().do(prompt="a cat", with_decode="base64")["data"][0]["image"]
    ranked = qianfan.Reranker().do("cat", ["a dog", "a cat"])["results"]
    tokens = qianfan.Tokenizer.count_tokens("你好 world", mode="remote", model="ernie-3.5-8k")
    completed = qianfan.Completion().do(prompt="1+1", model="SQLCoder-7B")["result"]
    return {
        "vectors": len(vectors),
        "picture": picture[:4] == b"\x89PNG",
        "first": ranked[0]["index"],
        "tokens": tokens > 0,
        "completed": bool(completed),
    }


def main():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "work").mkdir()
        for function in STEPS:
            told = {"step": function.__name__}
            noise = io.StringIO()
            try:
                with contextlib.redirect_stdout(noise):
                    told["gave"] = function()
            except Exception as error:  # each step is told of, whatever becomes of it
                told["failed"] = f"{type(error).__name__}: {error}"[:500]
                told["trace"] = traceback.format_exc()[-1500:]
            print(json.dumps(told, ensure_ascii=False, default=str), flush=True)


if __name__ == "__main__":
    sys.exit(main())
