"""A signing client of the tests' own, written from the scheme's rules, so that a slip in ours cannot hide."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import httpx

from qianfan.emulator import Emulator


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def authorization(
    *,
    method: str,
    url: httpx.URL,
    headers: Mapping[str, str],
    access_key: str,
    secret_key: str,
    timestamp: str,
    seconds: int = 1800,
) -> str:
    """The value of `Authorization`, all given headers signed."""
    raw_path, _, query = url.raw_path.decode().partition("?")
    pairs = sorted(
        f"{quote(name, safe='')}={quote(value, safe='')}"
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name.lower() != "authorization"
    )
    lines = sorted(f"{quote(name.lower(), safe='')}:{quote(value.strip(), safe='')}" for name, value in headers.items())
    canonical = "\n".join([method, quote(unquote(raw_path), safe="/"), "&".join(pairs), "\n".join(lines)])
    prefix = f"bce-auth-v1/{access_key}/{timestamp}/{seconds}"
    names = ";".join(sorted(name.lower() for name in headers))
    return f"{prefix}/{names}/{_hmac(_hmac(secret_key, prefix), canonical)}"


class SigningAuth(httpx.Auth):
    """Signs host, content type and x-bce-date."""

    def __init__(self, access_key: str, secret_key: str, *, now: datetime | None = None) -> None:
        self._keys = access_key, secret_key
        self._now = now

    def auth_flow(self, request: httpx.Request) -> Any:
        timestamp = (self._now or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ")
        request.headers["x-bce-date"] = timestamp
        signed = {
            name: value
            for name, value in request.headers.items()
            if name in ("host", "content-type", "content-md5") or name.startswith("x-bce-")
        }
        request.headers["authorization"] = authorization(
            method=request.method,
            url=request.url,
            headers=signed,
            access_key=self._keys[0],
            secret_key=self._keys[1],
            timestamp=timestamp,
        )
        yield request


class Console:
    """A tiny client of one emulator: signed console calls, object storage, model calls."""

    def __init__(self, emulator: Emulator, http: httpx.AsyncClient | None = None) -> None:
        self.emulator = emulator
        self.http = http or httpx.AsyncClient(transport=emulator.transport(), base_url=emulator.base_url)
        settings = emulator.settings
        self.auth = SigningAuth(settings["ACCESS_KEY"], settings["SECRET_KEY"])

    async def __aenter__(self) -> Console:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.aclose()

    async def post(self, path: str, body: Any = None, **query: str) -> httpx.Response:
        """A signed POST of JSON."""
        content = json.dumps({} if body is None else body)
        headers = {"content-type": "application/json"}
        return await self.http.post(path, content=content, params=query or None, headers=headers, auth=self.auth)

    async def v2(self, area: str, action: str, **fields: Any) -> Any:
        """The result of a V2 action that must succeed."""
        response = await self.post(f"/v2/{area}", fields, Action=action)
        assert response.status_code == 200, response.text
        assert response.json()["requestId"]
        return response.json()["result"]

    async def v2_refused(self, area: str, action: str, **fields: Any) -> tuple[int, str, str]:
        """Status, code and message of a V2 action that must be refused."""
        response = await self.post(f"/v2/{area}", fields, Action=action)
        content = response.json()
        assert content["requestId"]
        assert "result" not in content
        return response.status_code, content["code"], content["message"]

    async def v1(self, path: str, **fields: Any) -> Any:
        """The result of a V1 call that must succeed."""
        response = await self.post(f"/wenxinworkshop/{path}", fields)
        content = response.json()
        assert response.status_code == 200
        assert "error_code" not in content, content
        assert content.get("success", True), content
        return content["result"]

    async def v1_refused(self, path: str, **fields: Any) -> tuple[Any, str]:
        """Code and message of a V1 call that must be refused, in either V1 style."""
        response = await self.post(f"/wenxinworkshop/{path}", fields)
        content = response.json()
        assert response.status_code == 200
        if "error_code" in content:
            return content["error_code"], content["error_msg"]
        assert (content["status"], content["success"]) == (400, False)
        return content["code"], content["message"]

    async def put(self, bucket: str, key: str, content: bytes | AsyncIterator[bytes], **headers: str) -> httpx.Response:
        """A signed upload."""
        return await self.http.put(f"/{bucket}/{quote(key)}", content=content, headers=headers, auth=self.auth)
