"""How long is one whole run, from the upload of a file to an answer, and how many requests does it take?

The platform is the emulator at pace `instant` with all polling intervals at 0, once inside the process and once over a
loopback socket, so what is left is the client's own work and the emulator's.
"""

from __future__ import annotations

import os
import tempfile

from benchmarks.measure import median_seconds
from qianfan import Client, Settings
from qianfan.dataset import Dataset
from qianfan.emulator import Emulator, engine_options, sample_path
from qianfan.emulator.server import running
from qianfan.trainer import DeployConfig, LLMFinetune


def whole_run(client: Client) -> None:
    dataset = Dataset.load(data_file=sample_path())
    trainer = LLMFinetune("ERNIE-Speed-8K", dataset, deploy_config=DeployConfig(service_type="Chat"), client=client)
    result = trainer.run().result[0]
    assert result is not None
    assert result["service"].exec({"messages": [{"role": "user", "content": "hi"}]})["result"]


def report(where: str, client: Client) -> None:
    before = client.requests_sent
    whole_run(client)
    requests = client.requests_sent - before
    seconds = median_seconds(lambda: whole_run(client))
    print(f"{where:<12} {seconds * 1000:7.0f} ms   {requests} HTTP requests, upload to answer")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QIANFAN_CACHE_DIR"] = folder
        with Emulator(engine="scripted"):
            report("in process", Client())
        with running(options=engine_options("scripted")) as served:
            settings = {name.lower(): value for name, value in served.settings.items()}
            report("over socket", Client(Settings(**settings, cache_dir=folder)))


if __name__ == "__main__":
    main()
