"""Every operation, asked with good requests, with made-up ones that fit the description, and with ones that do not."""

from __future__ import annotations

import json
import sys
from collections import Counter
from random import Random
from typing import Any
from zlib import crc32

import hypothesis
import jsonschema
import pytest
import schemathesis
from hypothesis import strategies as st
from requests.auth import AuthBase
from schemathesis import GenerationMode
from schemathesis.core import NotSet
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from qianfan.emulator.envelopes import Family
from qianfan.emulator.openapi import Endpoint, endpoints
from tests.conformance.good import GOOD, PLACES
from tests.conformance.world import CRASHED, NoAuth, World, is_good

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

pytestmark = pytest.mark.socket

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

ENDPOINTS = {endpoint.name: endpoint for endpoint in endpoints()}

every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)


@pytest.fixture(scope="session")
def described(world: World) -> schemathesis.BaseSchema:
    """The description, as it is served."""
    # What lets a caller in is added to every request, so none of it is made up.
    generation = {"with-security-parameters": False}
    config = schemathesis.Config.from_dict({"generation": generation})
    return schemathesis.openapi.from_url(f"{world.url}/openapi.json", config=config)


class Asked:
    """Sends requests for one operation, holds the answers against the description, and counts them."""

    def __init__(self, world: World, endpoint: Endpoint, described: schemathesis.BaseSchema) -> None:
        self.world = world
        self.endpoint = endpoint
        self.operation = described[endpoint.path][endpoint.form.method]
        self.in_json = not endpoint.form.in_query and not endpoint.form.in_form
        self.counts: Counter[str] = Counter()
        self._fits = jsonschema.Draft202012Validator(endpoint.form.takes.schema(closed=False)).is_valid

    def good(self) -> dict[str, Any]:
        """The fields of a request that has to be carried out."""
        return GOOD[self.endpoint.name](self.world)

    def case(self, fields: Any) -> schemathesis.Case:
        """A request with these fields."""
        place = {"endpoint": PLACES[self.endpoint.name]} if "{endpoint}" in self.endpoint.path else {}
        form = self.endpoint.form
        if form.in_query:
            return self.operation.Case(query=fields, path_parameters=place)
        if form.method == "GET":
            return self.operation.Case(path_parameters=place)
        kind = "multipart/form-data" if form.in_form else "application/json"
        return self.operation.Case(body=fields, path_parameters=place, media_type=kind)

    def made_up(self, mode: GenerationMode) -> st.SearchStrategy[schemathesis.Case]:
        return self.operation.as_strategy(generation_mode=mode)

    def answer(self, case: schemathesis.Case, auth: AuthBase) -> schemathesis.Response:
        """What is answered. Raises where it is not as described."""
        # Of a file that has a name its content alone would be sent.
        named = self.endpoint.form.in_form and isinstance(case.body, dict) and case.body
        files = {"files": case.body} if named and all(isinstance(file, tuple) for file in case.body.values()) else {}
        response = case.call(base_url=self.world.url, session=self.world.http, auth=auth, **files)
        case.validate_response(response, checks=CHECKS)
        return response

    def send(self, case: schemathesis.Case) -> bool:
        """Whether the call was carried out. Raises where the answer is not as described, or tells of a crash."""
        case.path_parameters |= self.case({}).path_parameters
        response = self.answer(case, self.world.auth(self.endpoint.family))
        said = f"{self.endpoint.name} {case.query or case.body!r}: {response.text}"
        assert CRASHED not in response.text, said
        good = is_good(response.status_code, response.content)
        if good and self.in_json and not isinstance(case.body, (NotSet, bytes)):
            assert self._fits(case.body), f"carried out what does not fit: {said}"
        self.counts["ok" if good else _refusal(response.content)] += 1
        return good


def _refusal(content: bytes) -> str:
    told = json.loads(content)
    error = told.get("error")
    return str(told.get("error_code") or told.get("code") or (error["code"] if isinstance(error, dict) else error))


def _twice(fields: dict[str, Any], random: Random) -> dict[str, Any]:
    """A good request that now and then names everything two times."""
    again = random.random() < 0.3
    return {key: value * 2 if again and isinstance(value, list) else value for key, value in fields.items()}


def _with_known(value: Any, known: list[Any], random: Random) -> Any:
    """A made-up value, with what there is in the place of some of its texts and numbers."""
    if isinstance(value, dict):
        return {key: _with_known(item, known, random) for key, item in value.items()}
    if isinstance(value, list):
        items = [_with_known(item, known, random) for item in value]
        return items * 2 if random.random() < 0.2 else items
    if isinstance(value, (str, int)) and not isinstance(value, bool) and random.random() < 0.5:
        return random.choice(known)
    return value


def test_every_operation_has_a_good_request() -> None:
    """Whoever adds a call says in `good.py` how it is asked for with success."""
    assert set(GOOD) == set(ENDPOINTS)


@every_endpoint
def test_good_requests(endpoint: Endpoint, world: World, described: schemathesis.BaseSchema) -> None:
    """What has to be carried out is, and is answered as described."""
    asked = Asked(world, endpoint, described)
    for _ in range(2):
        case = asked.case(asked.good())
        assert asked.send(case), f"{endpoint.name} {case.body!r}: {asked.counts}"


@every_endpoint
def test_made_up_requests(
    endpoint: Endpoint, world: World, described: schemathesis.BaseSchema, request: pytest.FixtureRequest
) -> None:
    """Whatever is asked, the answer is as described, nothing crashes, and what does not fit is not carried out."""
    asked = Asked(world, endpoint, described)
    positive, negative = (asked.made_up(mode) for mode in GenerationMode)
    broken: list[BaseException] = []

    @hypothesis.seed(crc32(f"{request.config.getoption('--requests-seed')} {endpoint.name}".encode()))
    @hypothesis.settings(
        max_examples=request.config.getoption("--max-examples"),
        deadline=None,
        database=None,
        # What there is changes with every request, so a failure need not come again: the first is shown as it was.
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(data=st.data())
    def ask(data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(["good", "again", "good and more", "known", "fits", "does not fit"]))
        case = data.draw(negative if kind == "does not fit" else positive)
        random = Random(data.draw(st.integers(0, 2**32)))
        if broken:
            return
        try:
            if kind == "good":
                case = asked.case(asked.good())
            elif kind == "again":
                fields = asked.good()
                asked.send(asked.case(fields))
                case = asked.case(fields)
            elif kind == "good and more" and isinstance(case.body, dict):
                case.body = {**case.body, **_twice(asked.good(), random)}
            elif kind == "known" and isinstance(case.body, dict):
                case.body = _with_known(case.body, world.known(), random)
            asked.send(case)
        except (Exception, BaseExceptionGroup) as error:
            broken.append(error)

    ask()
    request.node.user_properties.append((endpoint.name, dict(asked.counts)))
    if broken:
        raise broken[0]
    assert asked.counts["ok"], f"{endpoint.name} was never carried out: {asked.counts}"


@every_endpoint
def test_nobody_else_is_let_in(endpoint: Endpoint, world: World, described: schemathesis.BaseSchema) -> None:
    """The same requests without credentials are refused."""
    if endpoint.family is Family.OAUTH:
        pytest.skip("the credentials are what it takes")
    asked = Asked(world, endpoint, described)
    response = asked.answer(asked.case(asked.good()), NoAuth())
    assert not is_good(response.status_code, response.content)
