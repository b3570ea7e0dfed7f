"""Pictures from words, and words about pictures, V1."""

from __future__ import annotations

import base64
import binascii

from qianfan._types import JSON
from qianfan.emulator import answers
from qianfan.emulator.calls import Call
from qianfan.emulator.envelopes import answer_id
from qianfan.emulator.handlers.asking import (
    Canned,
    ask_at,
    canned,
    check_fields,
    created,
    endpoint_model,
    read_only,
)
from qianfan.emulator.handlers.chat_v1 import reply_v1
from qianfan.emulator.pictures import Picture, picture, read_head
from qianfan.emulator.refusals import RefusedInference
from qianfan.emulator.shapes.inference import FORMS
from qianfan.emulator.wire import Answer, json_answer
from qianfan.engines.rows import Message

_LARGEST = 4 * 2**20
_SHORTEST_SIDE, _LONGEST_SIDE = 15, 4096


def text2image(call: Call) -> Answer:
    """`/text2image/{endpoint}`: coloured tiles that depend on the prompt, the seed and the picture's place."""
    endpoint_model(call, "text2image")
    check_fields(call, FORMS["/text2image"])
    body = call.body
    prompt: str = body.get("prompt")
    width, height = map(int, (body.get("size") or "1024x1024").split("x"))
    count, seed = body.get("n") or 1, body.get("seed") or 0
    data: list[JSON] = [
        {
            "object": "image",
            "b64_image": base64.b64encode(picture(prompt, width, height, seed=seed + index - 1)).decode(),
            "index": index,
        }
        for index in range(1, count + 1)
    ]
    head = {"id": answer_id(), "object": "image", "created": created(call)}
    return json_answer({**head, "data": data, "usage": read_only(answers.count_tokens(prompt))})


async def ask_image2text(call: Call) -> None:
    """Begin the answer of `image2text`."""
    check_fields(call, FORMS["/image2text"])
    shown = _shown(call.body.get("image"))
    prompt: str = call.body.get("prompt")

    def preset(model: str) -> Canned:
        seen = f"a {shown.kind} picture of {shown.width}x{shown.height} pixels. {answers.canned(model, prompt)}"
        return canned(call, model, messages, lambda _: f"[simulated] I see {seen}")

    messages = [Message(role="user", content=prompt)]
    await ask_at(call, "image2text", messages, preset)


def image2text(call: Call) -> Answer:
    """`/image2text/{endpoint}`."""
    return reply_v1(call, kind="chat.completion", extra={"is_safe": 1})


def _shown(image: str) -> Picture:
    if image.startswith("data:"):
        raise RefusedInference(336003, "image must be base64 without the head of a data URL")
    try:
        content = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        raise RefusedInference(336003, "image must be base64") from None
    if len(content) > _LARGEST:
        raise RefusedInference(336003, f"image must have at most 4 MB, found {len(content)} bytes")
    shown = read_head(content)
    if shown is None:
        raise RefusedInference(336003, "image must be a jpg, png or bmp file")
    if not all(_SHORTEST_SIDE <= side <= _LONGEST_SIDE for side in (shown.width, shown.height)):
        raise RefusedInference(
            336003, f"image must have sides of 15 to 4096 pixels, found {shown.width}x{shown.height}"
        )
    return shown
