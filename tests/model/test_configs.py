"""DeployConfig: what is sent, and what is refused before anything is sent."""

from __future__ import annotations

import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.errors import InvalidArgumentError, ValidationError
from qianfan.model.configs import DeployConfig, generated_name
from qianfan.model.consts import DeployPoolType, ServiceType

PLACE = {"model_set_id": "am-1", "model_id": "amv-1", "name": "demo_svc", "url_suffix": "demo_svc"}


def test_the_documented_configuration_is_sent_as_documented():
    config = DeployConfig(
        name="demo",
        endpoint_prefix="demo",
        replicas=1,
        pool_type=DeployPoolType.PrivateResource,
        service_type=ServiceType.Chat,
    )
    assert config.url_suffix("model", "abc") == "demo"
    assert config.to_wire(**PLACE) == {
        "modelSetId": "am-1",
        "modelId": "amv-1",
        "name": "demo_svc",
        "urlSuffix": "demo_svc",
        "resourceConfig": {"type": "GPU-I-2", "replicasCount": 1},
        "billing": {
            "paymentTiming": "Prepaid",
            "reservation": {"reservationTimeUnit": "Hour", "reservationLength": 1},
        },
    }


def test_months_replace_hours():
    config = DeployConfig(service_type="Chat", months=2, qps=1.239, replicas=3, resource_type="GPU-1-1")
    assert config.billing()["reservation"] == {"reservationTimeUnit": "Month", "reservationLength": 2}
    assert config.resource_config() == {"type": "GPU-1-1", "replicasCount": 3, "qps": 1.24}
    assert config.purchase_terms() == "3 replicas of GPU-1-1 for 2 months, paid in advance"
    assert DeployConfig(service_type="Chat").purchase_terms() == "1 replica of GPU-I-2 for 1 hour, paid in advance"


def test_extras_are_merged_last_and_deeply():
    extras = {"resourceConfig": {"region": "bj", "type": "CPU-1-1"}, "protocolVersion": 2}
    body = DeployConfig(service_type="Chat", description="for tests", extras=extras).to_wire(**PLACE)
    assert body["resourceConfig"] == {"type": "CPU-1-1", "replicasCount": 1, "region": "bj"}
    assert body["protocolVersion"] == 2
    assert body["description"] == "for tests"


def test_the_suffix_wins_over_the_prefix_and_says_so(caplog):
    with caplog.at_level(logging.WARNING, logger="qianfan"):
        config = DeployConfig(service_type="Chat", endpoint_prefix="old", endpoint_suffix="new")
    assert config.url_suffix("model", "abc") == "new"
    assert "endpoint_suffix 'new'" in caplog.text


@pytest.mark.parametrize(
    ("given_values", "expected"),
    [
        ({}, "service_type is missing"),
        ({"service_type": "Plugin"}, "service_type: must be one of Chat, Completion, Embedding, Text2Image"),
        ({"service_type": "Chat", "replicas": 0}, "replicas: must be greater than or equal to 1, not 0"),
        ({"service_type": "Chat", "qps": 0}, "qps: must be greater than 0"),
        ({"service_type": "Chat", "qps": 51}, "qps: must be less than or equal to 50"),
        ({"service_type": "Chat", "months": 13}, "months: must be less than or equal to 12"),
        ({"service_type": "Chat", "months": 1, "hours": 3}, "both given"),
        ({"service_type": "Chat", "pool_type": 1}, "use DeployPoolType.PrivateResource"),
        ({"service_type": "Chat", "pool_type": DeployPoolType.PublicResource}, "no longer deploys to the public pool"),
        ({"service_type": "Chat", "name": "x"}, "name: must have 2 to 20 characters"),
        ({"service_type": "Chat", "endpoint_prefix": "Demo"}, "endpoint_prefix: must be 2 to 20 of a-z"),
        ({"service_type": "Chat", "endpoint_suffix": "demo_"}, "endpoint_suffix: must be 2 to 20 of a-z"),
        ({"service_type": "Chat", "replica": 1}, "unknown name 'replica'; did you mean 'replicas'?"),
    ],
)
def test_wrong_values_are_explained(given_values, expected):
    with pytest.raises(ValidationError, match=re.escape(expected)):
        DeployConfig(**given_values)


def test_all_mistakes_come_at_once():
    with pytest.raises(ValidationError) as caught:
        DeployConfig(replicas=0, qps=99, nmae="x")
    assert len(caught.value.problems) == 4


def test_a_later_change_is_checked_too():
    config = DeployConfig(service_type="Chat")
    config.replicas = 4
    assert config.resource_config()["replicasCount"] == 4
    with pytest.raises(ValidationError, match="replicas"):
        config.replicas = 0
    with pytest.raises(ValidationError, match="did you mean 'replicas'"):
        config.replica = 2


@given(stem=st.text(max_size=40), token=st.from_regex(r"[a-z0-9]{1,17}", fullmatch=True))
def test_generated_names_satisfy_the_platform(stem, token):
    name = generated_name(stem, token)
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,18}[a-z0-9]", name)
    assert name.endswith(token)
    assert DeployConfig(service_type="Chat", name=name, endpoint_suffix=name).name == name


@pytest.mark.parametrize("token", ["", "x" * 18, "A", "a-b"])
def test_a_token_that_would_break_the_name_is_refused(token):
    with pytest.raises(InvalidArgumentError, match="token"):
        generated_name("model", token)
