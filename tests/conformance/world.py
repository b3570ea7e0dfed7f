"""A served emulator, and what an account makes there so that calls have something to name."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from pydantic import SecretStr
from requests.auth import AuthBase

from qianfan._auth.iam import IamCredentials, format_timestamp, sign
from qianfan.emulator import engine_options
from qianfan.emulator.account import Keys
from qianfan.emulator.envelopes import Family
from qianfan.emulator.handlers.services import MODEL_PATH
from qianfan.emulator.openapi import endpoints
from qianfan.emulator.server import Running, running

BUCKET = "conformance"
MODEL = "ERNIE-Speed-8K"
POSTPAID = {"paymentTiming": "Postpaid"}
CRASHED = "an error inside the emulator"


class Signed(AuthBase):
    """Signs a request as the package's client does."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self._credentials = IamCredentials(access_key, SecretStr(secret_key))

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url, now = urlsplit(str(request.url)), datetime.now(timezone.utc)
        headers = {"host": url.netloc, "x-bce-date": format_timestamp(now)}
        request.headers.update(headers)
        signature = sign(
            self._credentials,
            method=str(request.method),
            path=url.path,
            query=parse_qsl(url.query, keep_blank_values=True),
            headers=headers,
            timestamp=now,
        )
        request.headers["Authorization"] = signature.authorization
        return request


class Bearer(AuthBase):
    """Sends a V2 token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class AccessToken(AuthBase):
    """Sends a V1 token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.prepare_url(request.url, {"access_token": self._token})
        return request


class NoAuth(AuthBase):
    """Sends nothing that says who calls."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Authorization", None)
        return request


def is_good(status: int, content: bytes) -> bool:
    """Whether an answer says that its call was carried out."""
    if status != 200:
        return False
    try:
        told = json.loads(content)
    except ValueError:
        return b'"error' not in content  # a stream of events
    return "error_code" not in told and told.get("success", True) is True


class World:
    """The account's client. The things it makes are new with each call, unless `some` is asked for."""

    def __init__(self, served: Running) -> None:
        self.url = served.url
        self.account = served.platform.account
        self.http = requests.Session()
        self.http.trust_env = False
        self._signed = Signed(served.settings["ACCESS_KEY"], served.settings["SECRET_KEY"])
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints()}
        self._numbers = count(1)
        self._some: dict[str, Any] = {}
        assert self.account.keys is not None
        self.keys: Keys = self.account.keys
        self._auth: dict[Family, AuthBase] = {Family.OAUTH: NoAuth()}
        self._auth[Family.INFERENCE_V1] = AccessToken(self._token("/oauth/2.0/token", "access_token", **self.oauth()))
        self._auth[Family.INFERENCE_V2] = Bearer(self._token("/v1/BCE-BEARER/token", "token", expireInSeconds=3600))

    @classmethod
    @contextmanager
    def served(cls) -> Generator[World]:
        options = engine_options("scripted")
        with running(access_key="ALTAKconformance", secret_key="of-tests", options=options) as served:
            world = cls(served)
            with world.http:
                yield world

    def auth(self, family: Family) -> AuthBase:
        """What the calls of a family are let in by."""
        return self._auth.get(family, self._signed)

    def oauth(self) -> dict[str, str]:
        return {"grant_type": "client_credentials", "client_id": self.keys.ak, "client_secret": self.keys.sk}

    def _token(self, name: str, key: str, **query: Any) -> str:
        endpoint = self._endpoints[name]
        auth = self.auth(endpoint.family)
        response = self.http.request(endpoint.form.method, self.url + endpoint.path, params=query, auth=auth)
        token: str = response.json()[key]
        return token

    def call(self, name: str, /, **fields: Any) -> Any:
        """The result of a console call that must succeed."""
        endpoint = self._endpoints[name]
        response = self.http.post(self.url + endpoint.path, json=fields, auth=self.auth(endpoint.family))
        assert is_good(response.status_code, response.content), f"{name} {fields}: {response.text}"
        return response.json()["result"]

    def put(self, key: str, content: bytes) -> str:
        """Store an object, and give its place."""
        response = self.http.put(f"{self.url}/{BUCKET}/{key}", data=content, auth=self._signed)
        assert response.status_code == 200, response.text
        return f"bos:/{BUCKET}/{key}"

    def some(self, what: str) -> Any:
        """The result of the method of that name, the same one until somebody takes away what it stands for."""
        if what not in self._some or not self._is_there(self._some[what]):
            self._some[what] = getattr(self, what)()
        return self._some[what]

    def _is_there(self, made: Any) -> bool:
        values = list(made.values()) if isinstance(made, dict) else [made]
        with self.account.lock:
            shelves = self.account.shelves.values()
            ids = [value for value in values if any(str(value).startswith(one.prefix) for one in shelves if one.prefix)]
            return all(any(shelf.get(key) is not None for shelf in shelves) for key in ids)

    def name(self, kind: str = "n") -> str:
        """A name that was not given before."""
        return f"{kind}-{next(self._numbers)}"

    def number_of(self, key: str) -> int:
        """The V1 number of what has an id."""
        found = [shelf.get(key) for shelf in self.account.shelves.values()]
        return next(record.number for record in found if record is not None)

    def known(self) -> list[Any]:
        """Every id and number there is."""
        with self.account.lock:
            records = [record for shelf in self.account.shelves.values() for record in shelf]
        return [record.id for record in records] + [record.number for record in records]

    # --- data ----------------------------------------------------------------------------------------------------

    def dataset(self, data_format: str = "PromptResponse") -> dict[str, str]:
        """An empty one: `datasetId` and `versionId`."""
        made: dict[str, str] = self.call(
            "CreateDataset", datasetName=self.name("data"), dataFormat=data_format, storageType="sysStorage"
        )
        return made

    def rows(self) -> str:
        """A file of rows."""
        row = [{"prompt": "question", "response": [["answer"]]}]
        return self.put("rows.jsonl", "\n".join([json.dumps(row)] * 40).encode())

    def bad_rows(self) -> str:
        return self.put("bad.jsonl", b"no row\n")

    def imported(self) -> dict[str, str]:
        made = self.dataset()
        task = self.call("CreateImportTask", versionId=made["versionId"], files=[self.some("rows")])
        self.call("DescribeImportTask", taskId=task)
        return {**made, "taskId": task}

    def published(self) -> dict[str, str]:
        made = self.imported()
        self.call("PublishDatasetVersion", versionId=made["versionId"])
        self.call("DescribeDatasetVersion", versionId=made["versionId"])
        return made

    def not_imported(self) -> str:
        """A version whose import failed."""
        version = self.dataset()["versionId"]
        task = self.call("CreateImportTask", versionId=version, files=[self.some("bad_rows")])
        self.call("DescribeImportTask", taskId=task)
        return version

    def export(self) -> str:
        made: str = self.call("CreateExportTask", versionId=self.imported()["versionId"], storageType="sysStorage")
        return made

    def row(self) -> dict[str, str]:
        """`id` and `datasetId` of a row that can be changed."""
        version = self.some("imported")["versionId"]
        if not self.call("/entity/list", datasetId=version)["items"]:
            version = self.imported()["versionId"]
        return {"id": self.call("/entity/list", datasetId=version)["items"][0]["id"], "datasetId": version}

    def cleaning_order(self) -> dict[str, Any]:
        """The body that begins a cleaning."""
        return {
            "etlTaskName": self.name("etl"),
            "sourceDatasetId": self.imported()["versionId"],
            "destDatasetId": self.dataset()["versionId"],
            "entityType": 2,
            "operationsV2": {"clean": [{"name": "remove_emoji", "args": {}}]},
        }

    def cleaning(self) -> str:
        made: str = self.call("/etl/create", **self.cleaning_order())
        return made

    def augmentation_order(self) -> dict[str, Any]:
        """The body that begins an augmentation."""
        return {
            "name": self.name("enhance"),
            "isSelfInstruct": True,
            "sourceDatasetId": self.imported()["versionId"],
            "destDatasetId": self.dataset()["versionId"],
            "devApiId": "1",
            "appId": 1,
            "numSeedFewshot": 3,
            "numInstancesToGenerate": 5,
            "similarityThreshold": 0.7,
        }

    def augmentation(self) -> str:
        self.call("/enhance/create", **self.augmentation_order())
        listed = self.call("/enhance/list", sortField="startTime", sortBy="desc", pageSize=1)["items"]
        made: str = listed[0]["id"]
        return made

    # --- trainings -----------------------------------------------------------------------------------------------

    def job(self) -> str:
        made = self.call("CreateFineTuningJob", name=self.name("job"), model=MODEL, trainMode="SFT")
        job_id: str = made["jobId"]
        return job_id

    def order(self, job_id: str) -> dict[str, Any]:
        """The body that begins a training."""
        return {
            "jobId": job_id,
            "parameterScale": "LoRA",
            "hyperParameterConfig": {"epoch": 1, "learningRate": 0.0003},
            "datasetConfig": {
                "sourceType": "Platform",
                "versions": [{"versionId": self.some("published")["versionId"]}],
                "splitRatio": 20,
            },
        }

    def running_task(self) -> dict[str, str]:
        made: dict[str, str] = self.call("CreateFineTuningTask", **self.order(self.job()))
        return made

    def task(self) -> dict[str, str]:
        """A finished one: `jobId` and `taskId`."""
        made = self.running_task()
        while self.call("DescribeFineTuningTask", taskId=made["taskId"])["runStatus"] != "Done":
            pass
        return made

    def v1_run(self) -> dict[str, int]:
        """A training by its numbers in V1."""
        made = self.running_task()
        return {"taskId": self.number_of(made["jobId"]), "jobId": self.number_of(made["taskId"])}

    # --- models and services -------------------------------------------------------------------------------------

    def model_set(self) -> str:
        made: str = self.call("CreateCustomModelSet", modelSetName=self.name("set"), modelType="Text2Text")
        return made

    def model(self) -> dict[str, str]:
        """A ready one: `modelSetId` and `modelId`."""
        model_set = self.model_set()
        meta = {"taskId": self.some("task")["taskId"]}
        made = self.call("CreateCustomModel", modelSetId=model_set, sourceType="Train", trainMeta=meta)
        while self.call("DescribeModel", modelId=made["modelId"])["status"] != "Ready":
            pass
        return {"modelSetId": model_set, "modelId": made["modelId"]}

    def service(self) -> dict[str, str]:
        """A serving one: `serviceId`, `modelSetId`, `modelId` and `endpoint`."""
        model = self.some("model")
        body = {"name": self.name("svc"), "urlSuffix": self.name("svc"), "billing": POSTPAID}
        made = self.call("CreateService", **model, **body)
        while True:
            seen = self.call("DescribeService", serviceId=made["serviceId"])
            if seen["runStatus"] == "Serving":
                return {**model, "serviceId": made["serviceId"], "endpoint": seen["endpoint"]}

    def unit(self) -> dict[str, str]:
        """Of a service of its own: `serviceId` and `instanceId`."""
        service = self.service()["serviceId"]
        (unit,) = self.call("DescribeComputeUnits", serviceId=service)
        return {"serviceId": service, "instanceId": unit["instanceId"]}

    def quota(self) -> str:
        made: str = self.call("PurchaseTPMResource", model=MODEL, purchaseCount=1, billing=POSTPAID)["instanceId"]
        return made

    def imported_model(self) -> str:
        self.put("model/config.json", b"{}")
        meta = {"bucket": BUCKET, "objectPath": "model/", "modelFormat": "Safetensors"}
        made: str = self.call("CreateCustomModel", modelSetId=self.model_set(), sourceType="Import", importMeta=meta)[
            "modelId"
        ]
        return made

    def exported_model(self) -> str:
        model: str = self.model()["modelId"]
        self.call("CreateModelExportTask", modelId=model)
        return model

    def compression_order(self) -> dict[str, Any]:
        """The body that begins one."""
        return {
            "name": self.name("comp"),
            "sourceModelId": self.some("model")["modelId"],
            "modelSetId": self.some("model_set"),
            "config": {"strategy": "Sparsity"},
        }

    def compression(self) -> str:
        made: str = self.call("CreateModelCompTask", **self.compression_order())
        return made

    def finished_compression(self) -> str:
        task = self.compression()
        while self.call("DescribeModelCompTask", modelCompTaskId=task)["status"] != "succeeded":
            pass
        return task

    # --- questions in bulk ---------------------------------------------------------------------------------------

    def batch_order(self) -> dict[str, Any]:
        """The body that begins a batch, with room for it."""
        for task in self.call("DescribeBatchInferenceTasks", maxKeys=100, runStatus=["Queuing", "Running"])["taskList"]:
            self.call("StopBatchInferenceTask", taskId=task["taskId"])
        self.put("in/rows.jsonl", b'{"id": "1", "query": "question"}\n')
        return {
            "name": self.name("batch"),
            "endpoint": f"{self.url}{MODEL_PATH}/chat/ernie_speed",
            "inputBosUri": f"bos:/{BUCKET}/in/",
            "outputBosUri": f"bos:/{BUCKET}/out/",
        }

    def batch(self) -> str:
        made: str = self.call("CreateBatchInferenceTask", **self.batch_order())["taskId"]
        return made

    def evaluation_order(self) -> dict[str, Any]:
        """The body that begins an evaluation, in V2's words."""
        models = [{"modelId": self.some("model")["modelId"]}]
        block = {"versionId": self.some("published")["versionId"], "evalModelConfigList": models}
        return {
            "taskName": self.name("eval"),
            "evalObjectType": "model",
            "evalObjectConfig": {"evalModelConfig": block},
            "evalConfig": {"evalMode": "rule"},
        }

    def running_evaluation(self) -> str:
        made: str = self.call("CreateEvalTask", **self.evaluation_order())["taskId"]
        return made

    def evaluation(self) -> str:
        """One that is over."""
        task = self.running_evaluation()
        while self.call("DescribeEvalTask", taskId=task)["state"] != "Done":
            pass
        return task

    def evaluation_export(self) -> str:
        order = {"exportType": "local", "exportOpt": "total", "exportContent": ["prompt", "metrics"]}
        made: str = self.call("/modelrepo/eval/result/export", id=self.some("evaluation"), **order)["exportIDStr"]
        return made
