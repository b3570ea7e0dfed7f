"""One object for V2's model calls, in the form that OpenAI's clients made common."""

from __future__ import annotations

from typing import Any

from qianfan._transport import Client
from qianfan.resources.llm.chat_completion import ChatCompletion
from qianfan.resources.llm.embedding import Embedding
from qianfan.resources.llm.rerank import Reranker


class Chat:
    """Conversations: `client.chat.completions.create(...)`."""

    def __init__(self, completions: ChatCompletion) -> None:
        self.completions = completions


class Qianfan:
    """V2's model calls: `Qianfan(api_key=...).chat.completions.create(model=..., messages=[...])`.

    access_key, secret_key: the account's keys. api_key, or bearer_token: a ready key for V2 instead of them.
    app_id: sent as `appid`. request_timeout: seconds for one attempt. retry_count: attempts in all.
    kwargs: further parameters for every call. What is left out comes from the settings.

    Each `create` blocks, and each has an async form, `acreate`. Making one sends nothing.
    """

    def __init__(
        self,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
        api_key: str | None = None,
        bearer_token: str | None = None,
        app_id: str | None = None,
        console_api_base_url: str | None = None,
        request_timeout: float | None = None,
        retry_count: int | None = None,
        client: Client | None = None,
        **kwargs: Any,
    ) -> None:
        given: dict[str, Any] = {
            "access_key": access_key,
            "secret_key": secret_key,
            "bearer_token": bearer_token or api_key,
            "app_id": app_id,
            "console_api_base_url": console_api_base_url,
            "request_timeout": request_timeout,
            "retry_count": retry_count,
        }
        options: dict[str, Any] = {**kwargs, **{name: value for name, value in given.items() if value is not None}}
        self.completions = ChatCompletion(version="2", client=client, **options)
        self.chat = Chat(self.completions)
        self.embeddings = self.embedding = Embedding(version="2", client=client, **options)
        self.reranker = Reranker(version="2", client=client, **options)
