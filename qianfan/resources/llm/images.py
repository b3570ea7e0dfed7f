"""Pictures from words, and words about pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from qianfan._sync import run_sync
from qianfan.errors import InvalidArgumentError
from qianfan.resources.llm import batch
from qianfan.resources.llm.base import Inference, Streaming
from qianfan.resources.messages import QfResponse

_SECONDS = 60.0


class Text2Image(Inference):
    """Pictures from a description. A call is tried once, unless it says otherwise, since a picture costs."""

    kind = "text2image"
    default_model = "Stable-Diffusion-XL"
    needs = ("prompt",)
    attempts = 1
    timeout = _SECONDS

    async def ado(
        self,
        prompt: str | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        with_decode: str | None = None,
        **kwargs: Any,
    ) -> QfResponse:
        """Pictures under `data[i]["b64_image"]`; `with_decode="base64"` adds them as bytes under `data[i]["image"]`."""
        if with_decode not in (None, "base64"):
            raise InvalidArgumentError(f"with_decode={with_decode!r} is not known; use 'base64' or leave it out")
        options, rest = self._arguments(kwargs, model, endpoint)
        response = await self._once({"prompt": prompt, **rest}, **options)
        if with_decode:
            for picture in response.body.get("data", []):
                picture["image"] = base64.b64decode(picture["b64_image"])
        return response

    def do(
        self,
        prompt: str | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        with_decode: str | None = None,
        **kwargs: Any,
    ) -> QfResponse:
        """Blocking form of `ado`."""
        return run_sync(self.ado, prompt, model, endpoint, with_decode, **kwargs)

    async def abatch_do(self, prompt_list: Sequence[str], worker_num: int | None = None, **kwargs: Any) -> list[Any]:
        """Pictures for many descriptions at once: the answers in order, in place of a failed one its error."""
        calls = [{"prompt": prompt} for prompt in prompt_list]
        return await batch.gather(batch.tasks_of(self.ado, calls, worker_num, kwargs), worker_num)

    def batch_do(
        self, prompt_list: Sequence[str], worker_num: int | None = None, **kwargs: Any
    ) -> batch.BatchRequestFuture:
        """As `abatch_do`, but returns at once; `results()` waits for the answers."""
        calls = [{"prompt": prompt} for prompt in prompt_list]
        return batch.blocking(self.do, self.ado, calls, worker_num, kwargs)


class Image2Text(Streaming):
    """Words about a picture."""

    kind = "image2text"
    default_model = "Fuyu-8B"
    needs = ("prompt", "image")
    attempts = 1
    timeout = _SECONDS

    async def ado(
        self,
        prompt: str | None = None,
        image: str | bytes | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Any:
        """What the prompt asks about the picture; a QfResponse, or an async iterator of pieces with `stream=True`.

        image: the file (jpg, png or bmp, up to 4 MB), as bytes or in base64, with a data URL's head or without.
        """
        options, rest = self._arguments(kwargs, model, endpoint)
        return await self._answer({"prompt": prompt, "image": _in_base64(image), **rest}, stream, options)

    def do(
        self,
        prompt: str | None = None,
        image: str | bytes | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Blocking form of `ado`."""
        options, rest = self._arguments(kwargs, model, endpoint)
        return self._answer_sync({"prompt": prompt, "image": _in_base64(image), **rest}, stream, options)

    async def abatch_do(
        self, input_list: Sequence[tuple[str, str | bytes]], worker_num: int | None = None, **kwargs: Any
    ) -> list[Any]:
        """Many pairs of prompt and picture at once: the answers in order, in place of a failed one its error."""
        calls = [{"prompt": prompt, "image": image} for prompt, image in input_list]
        return await batch.gather(batch.tasks_of(self.ado, calls, worker_num, kwargs), worker_num)

    def batch_do(
        self, input_list: Sequence[tuple[str, str | bytes]], worker_num: int | None = None, **kwargs: Any
    ) -> batch.BatchRequestFuture:
        """As `abatch_do`, but returns at once; `results()` waits for the answers."""
        calls = [{"prompt": prompt, "image": image} for prompt, image in input_list]
        return batch.blocking(self.do, self.ado, calls, worker_num, kwargs)


def _in_base64(image: str | bytes | None) -> str | None:
    if isinstance(image, bytes):
        return base64.b64encode(image).decode()
    head, comma, content = (image or "").partition(",")
    return content if comma and head.startswith("data:") else image
