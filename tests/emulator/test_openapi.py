"""The OpenAPI description: whole, valid, and the same wherever it is asked for."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from typer.testing import CliRunner

from qianfan.cli.emulator import app
from qianfan.emulator import engine_options, openapi, routes
from qianfan.emulator.refusals import Refused
from qianfan.emulator.server import running
from qianfan.emulator.shapes import AREAS, FORMS
from qianfan.emulator.shapes.vocabulary import (
    Either,
    Flag,
    Id,
    Items,
    Key,
    Mapped,
    Maybe,
    Number,
    Obj,
    OneOf,
    OrNull,
    Shape,
    Text,
    Whole,
    optional,
)
from tests.emulator.signing import Console

pytestmark = pytest.mark.anyio


def test_every_route_has_a_shape() -> None:
    """Whoever adds a call to the routes says in `qianfan/emulator/shapes/` what it takes and gives."""
    assert {endpoint.name for endpoint in openapi.endpoints()} == set(FORMS)
    assert len(FORMS) == sum(len(forms) for forms in AREAS.values())


def test_every_route_is_described() -> None:
    tables: list[dict[str, Any]] = [*routes.CONSOLE_V2.values(), routes.DATA_V1, routes.CONSOLE_V1]
    tables += [routes.INFERENCE_V1, routes.INFERENCE_V2]
    tokens = 2
    operations = [operation for methods in openapi.document()["paths"].values() for operation in methods.values()]
    assert len(operations) == sum(map(len, tables)) + tokens
    assert {operation["summary"] for operation in operations} == set(FORMS)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(openapi.document()).validate()


async def test_the_same_everywhere(console: Console) -> None:
    """In process, over a socket and on the command line; a page for people leads to it."""
    text = openapi.text()
    assert (await console.http.get("/openapi.json")).text == text
    assert 'href="/openapi.json"' in (await console.http.get("/")).text
    with running(options=engine_options("scripted")) as served:
        async with httpx.AsyncClient(base_url=served.url) as http:
            response = await http.get("/openapi.json")
    assert (response.text, response.headers["content-type"]) == (text, "application/json")
    assert json.loads(CliRunner().invoke(app, ["openapi"]).stdout) == json.loads(text)


async def test_an_object_of_that_name_is_still_an_object(console: Console) -> None:
    signed = await console.http.get("/openapi.json", auth=console.auth)
    assert "paths" not in signed.text


SAMPLES: list[tuple[Shape, list[Any], list[Any]]] = [
    (Text(2, 4), ["ab", "abcd"], ["a", "abcde", 1, None]),
    (Text(pattern="a|b"), ["a", "b"], ["ab", "c"]),
    (Id("job-"), ["job-0123456789ab"], ["job-", "task-0123456789ab"]),
    (Number(0, 1), [0, 0.5, 1], [-0.1, 1.1, True, "1", float("nan")]),
    (Whole(1), [1, 10**30], [0, 1.5, True, None]),
    (Flag(), [True, False], [1, 0, "true", None]),
    (OneOf(1, "a"), [1, "a"], [True, "b", None]),
    (OneOf(True), [True], [1, False]),
    (Items(Whole(), least=1, most=2), [[1], [1, 2]], [[], [1, 2, 3], ["1"], {}]),
    (Obj(a=Whole(), b=Maybe(Text())), [{"a": 1}, {"a": 1, "b": "", "c": 2}], [{}, {"a": 1, "b": None}, [], None]),
    (Obj(a=optional(Whole())), [{}, {"a": None}, {"a": 1}], [{"a": "1"}]),
    (Mapped(Whole()), [{}, {"a": 1}], [{"a": "b"}, []]),
    (Either(Whole(), Text()), [1, "a"], [None, []]),
    (OrNull(OneOf(1, 2)), [None, 1], [3]),
    (Key("a job"), ["job-", 7], [[], {}, True, 1.5]),
    (Key("a job", numbered=False), ["job-"], [7]),
]


@pytest.mark.parametrize(("shape", "fitting", "others"), SAMPLES)
def test_a_shape_checks_what_it_describes(shape: Shape, fitting: list[Any], others: list[Any]) -> None:
    """`fits` and `check` say the same, and so does a validator of the schema."""
    described = Draft202012Validator(shape.schema(closed=False))
    for value in fitting:
        assert shape.fits(value)
        shape.check("field", value)
        assert described.is_valid(value)
    for value in others:
        assert not shape.fits(value)
        with pytest.raises(Refused):
            shape.check("field", value)
        assert not described.is_valid(value) or value != value, value


def test_a_refusal_names_the_innermost_field() -> None:
    shape = Obj(versions=Items(Obj(id=Text(1), rate=optional(Number(0, 10))), least=1))
    with pytest.raises(Refused) as refused:
        shape.check("body", {"versions": [{"id": "a"}, {"id": "b", "rate": 11}]})
    assert (refused.value.field, refused.value.text) == ("rate", "rate must be a number from 0 to 10, found 11")
    with pytest.raises(Refused) as refused:
        shape.check("body", {"versions": [{}]})
    assert (refused.value.field, refused.value.text) == ("id", "id must be a non-empty text, found None")
