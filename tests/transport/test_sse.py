"""Event streams, cut anywhere."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan._transport.sse import AnswerDecoder, EventDecoder, LineSplitter, ServerSentEvent
from qianfan._transport.wire import Call, Family, Reading, Safety
from qianfan.errors import AccessTokenExpiredError, APIError, RequestError, StreamInterruptedError

V1 = Call("chat", Family.INFERENCE_V1, Safety.READ, "/chat")
V2 = Call("chat", Family.INFERENCE_V2, Safety.READ, "/chat")
NOW = datetime(2024, 5, 1, tzinfo=timezone.utc)


def events(*chunks: bytes) -> list[ServerSentEvent]:
    decoder = EventDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def answers(call: Call, *chunks: bytes) -> list[dict[str, Any]]:
    decoder = AnswerDecoder(Reading(call, NOW))
    got = [answer for chunk in chunks for answer in decoder.feed(chunk)]
    return [*got, *decoder.finish()]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [ServerSentEvent("a")]),
        (b"data:a\n\ndata:  b\n\n", [ServerSentEvent("a"), ServerSentEvent(" b")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [ServerSentEvent("a"), ServerSentEvent("b"), ServerSentEvent("c")]),
        (b"data: a\ndata: b\n\n", [ServerSentEvent("a\nb")]),
        (b"data\n\n", [ServerSentEvent("")]),
        (b": ping\n:\n: OPENROUTER PROCESSING\n\ndata: a\n\n", [ServerSentEvent("a")]),
        (b"event: tool\ndata: a\n\ndata: b\n\n", [ServerSentEvent("a", "tool"), ServerSentEvent("b")]),
        (b"event: lost\n\ndata: b\n\n", [ServerSentEvent("b")]),
        (b"id: 7\ndata: a\n\ndata: b\n\n", [ServerSentEvent("a", id="7"), ServerSentEvent("b", id="7")]),
        (b"id: 7\0\nretry: 500\nretry: x\ndata: a\n\n", [ServerSentEvent("a", retry=500)]),
        (b"unknown: x\nnonsense\ndata: a\n\n", [ServerSentEvent("a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [ServerSentEvent("a")]),
        (b"data: a", []),
        (b'{"error_code": 1}\n', [ServerSentEvent('{"error_code": 1}', bare=True)]),
        (b'{\n  "a": {\n    "b": 1\n  }\n}\n', [ServerSentEvent('{\n  "a": {\n    "b": 1\n  }\n}', bare=True)]),
        (b'{\r\n\t"a": 1\r\n}\r\n', [ServerSentEvent('{\n\t"a": 1\n}', bare=True)]),
        (b'{"a":\n"b"\n}\ndata: c\n\n', [ServerSentEvent('{"a":\n"b"\n}', bare=True), ServerSentEvent("c")]),
        (b'{\n  "cut": \n\ndata: c\n\n', [ServerSentEvent("c")]),
        (b"event: x\nid\nretry:\ndata\ndata: c\n\n", [ServerSentEvent("\nc", "x")]),
        ("data: \u2028 千\x85\n\n".encode(), [ServerSentEvent("\u2028 千\x85")]),
    ],
)
def test_decoding(stream: bytes, expected: list[ServerSentEvent]) -> None:
    assert events(stream) == expected


STREAM = (
    '\ufeff: keep-alive\r\n\r\nevent: 工具\ndata: {"文": "千帆 🚀"}\r\n\r\nid: 1\rdata: a\rdata: b\r\r'
    'retry: 5\ndata: [DONE]\n\n{"bare": 1}\r\ndata: x\n\n{\r\n  "文": [1,\n  2]\r\n}\rdata: y\n\n'
).encode()


@given(st.lists(st.integers(0, len(STREAM))))
def test_where_chunks_break_does_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert events(*(STREAM[a:b] for a, b in itertools.pairwise(edges))) == events(STREAM)


@pytest.mark.parametrize("step", range(1, 8))
def test_a_stream_comes_byte_by_byte(step: int) -> None:
    pieces = [STREAM[start : start + step] for start in range(0, len(STREAM), step)]
    assert events(*pieces) == events(STREAM)


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\xe5", b""])))
def test_lines_split_the_same_in_one_piece_and_in_many(pieces: list[bytes]) -> None:
    whole, split = LineSplitter(), LineSplitter()
    assert whole.feed(b"".join(pieces)) == [line for piece in pieces for line in split.feed(piece)]
    assert whole.pending_size == split.pending_size


def test_an_event_without_end_is_refused() -> None:
    decoder = EventDecoder()
    chunk = b"data: " + b"x" * 1024 * 1024
    with pytest.raises(RequestError, match="larger than"):
        for _ in range(40):
            list(decoder.feed(chunk))


# --- the platform's rules ------------------------------------------------------------------------------------

PIECE = b'data: {"result": "Hel", "is_end": false}\n\n'
LAST = b'data: {"result": "lo", "is_end": true}\n\n'
CHUNK = b'data: {"choices": [{"delta": {"content": "Hi"}}], "usage": null}\n\n'


def test_v1_ends_with_is_end_and_ignores_what_follows() -> None:
    got = answers(V1, PIECE + LAST + b"data: rubbish\n\n")
    assert [answer["result"] for answer in got] == ["Hel", "lo"]


@pytest.mark.parametrize("mark", [b"data: [DONE]\n\n", b"data:[DONE] \r\n\r\n", b"data: [DONE]"])
def test_v2_ends_with_done(mark: bytes) -> None:
    assert len(answers(V2, CHUNK + mark)) == 1


@pytest.mark.parametrize("call", [V1, V2])
def test_done_ends_either_generation(call: Call) -> None:
    assert len(answers(call, PIECE + b"data: [DONE]\n\n" + b"data: rubbish\n\n")) == 1


FINISHED = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "a new word"}]}\n\n'
USED = b'data: {"choices": [], "usage": {"total_tokens": 3}}\n\n'


@pytest.mark.parametrize("stream", [CHUNK + FINISHED, CHUNK + FINISHED + USED, CHUNK + FINISHED.rstrip()])
def test_v2_may_end_without_its_mark_once_the_choices_have_finished(stream: bytes) -> None:
    assert answers(V2, stream)


def test_one_of_two_choices_is_not_the_end() -> None:
    both = b'data: {"choices": [{"finish_reason": "stop"}, {"finish_reason": null}]}\n\n'
    with pytest.raises(StreamInterruptedError):
        answers(V2, CHUNK + both + USED)


@pytest.mark.parametrize(
    "error",
    [
        b'{"error_code": 336100, "error_msg": "busy", "id": "as-1"}',
        b'{\n  "error_code": 336100,\n  "error_msg": "busy"\n}\n',
    ],
)
def test_an_error_may_stand_in_a_stream_as_bare_json(error: bytes) -> None:
    with pytest.raises(APIError, match="busy"):
        answers(V1, PIECE + error)


def test_is_end_does_not_end_v2() -> None:
    assert len(answers(V2, LAST + CHUNK + b"data: [DONE]\n\n")) == 2


def test_a_last_answer_without_its_blank_line_counts() -> None:
    assert len(answers(V1, PIECE + LAST.rstrip())) == 2


@pytest.mark.parametrize("call", [V1, V2])
@pytest.mark.parametrize("stream", [b"", PIECE, PIECE + b'data: {"resu', CHUNK + CHUNK, b": ping\n\n"])
def test_a_stream_without_its_end_mark_was_interrupted(call: Call, stream: bytes) -> None:
    decoder = AnswerDecoder(Reading(call, NOW))
    list(decoder.feed(stream))
    with pytest.raises(StreamInterruptedError, match="end mark"):
        list(decoder.finish())


@pytest.mark.parametrize(
    ("call", "error", "code", "kind"),
    [
        (V1, b'data: {"error_code": 336100, "error_msg": "busy"}\n\n', 336100, APIError),
        (V1, b'{"error_code": 111, "error_msg": "expired"}\n', 111, AccessTokenExpiredError),
        (V2, b'data: {"error": {"code": "internal_error", "message": "m"}}\n\n', "internal_error", APIError),
        (V2, b'data: {"error_code": 336100, "error_msg": "busy"}\n\n', 336100, APIError),
    ],
)
def test_an_error_inside_a_stream_comes_after_the_answers_before_it(
    call: Call, error: bytes, code: Any, kind: type[APIError]
) -> None:
    decoder = AnswerDecoder(Reading(call, NOW))
    got = []
    with pytest.raises(kind) as caught:
        for answer in decoder.feed(PIECE + error + PIECE):
            got.append(answer)
    assert len(got) == 1
    assert caught.value.error_code == code


def test_a_bare_line_that_is_no_error_is_skipped() -> None:
    assert len(answers(V1, b'{"note": 1}\n{not json\n' + LAST)) == 1


@pytest.mark.parametrize("data", [b"hello", b"[1]", b"7"])
def test_something_other_than_an_object_is_refused(data: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        answers(V2, b"data: " + data + b"\n\n")
    assert caught.value.body == data.decode()


def test_a_named_event_keeps_its_name() -> None:
    assert answers(V2, b"event: plugin\n" + CHUNK + b"data: [DONE]\n\n")[0]["_event"] == "plugin"


@given(st.lists(st.text(min_size=1), min_size=1), st.data())
def test_text_survives_any_cutting(texts: list[str], data: st.DataObject) -> None:
    stream = "".join(
        f"data: {json.dumps({'result': text, 'is_end': number == len(texts) - 1}, ensure_ascii=False)}\n\n"
        for number, text in enumerate(texts)
    ).encode()
    cuts = data.draw(st.lists(st.integers(0, len(stream))))
    edges = [0, *sorted(cuts), len(stream)]
    got = answers(V1, *(stream[a:b] for a, b in itertools.pairwise(edges)))
    assert [answer["result"] for answer in got] == texts
