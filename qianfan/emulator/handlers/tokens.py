"""Giving out tokens: OAuth for application keys, bearer tokens for account keys."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone

from qianfan._types import JSON
from qianfan.emulator.calls import Call
from qianfan.emulator.refusals import RefusedObject
from qianfan.emulator.wire import Answer, json_answer

_ACCESS_SECONDS = 2_592_000
_DEFAULT_BEARER_SECONDS = 1800


def oauth_token(call: Call) -> Answer:
    """`/oauth/2.0/token`: application key and secret in the query."""
    keys, request = call.account.keys, call.request
    client, secret = request.param("client_id"), request.param("client_secret")
    if request.param("grant_type") != "client_credentials" or not client or (keys and client != keys.ak):
        return _no_token("unknown client id")
    if not secret or (keys and secret != keys.sk):
        return _no_token("Client authentication failed")
    token = call.account.tokens.new_access(call.account.now(), _ACCESS_SECONDS)
    content = {"access_token": token, "expires_in": _ACCESS_SECONDS, "refresh_token": "", "session_key": ""}
    return json_answer({**content, "session_secret": "", "scope": "public ai_custom"})


def bearer_token(call: Call) -> JSON:
    """`/v1/BCE-BEARER/token`: a token for V2 model calls."""
    account = call.account
    text = call.request.param("expireInSeconds") or str(_DEFAULT_BEARER_SECONDS)
    seconds = int(text) if text.isdecimal() else 0
    if not 300 <= seconds <= _ACCESS_SECONDS:
        raise RefusedObject(
            400, "InvalidHTTPRequest", f"expireInSeconds must be 300 to {_ACCESS_SECONDS}, found {text!r}"
        )
    if not _is_access_list(call.request.param("acl")):
        raise RefusedObject(400, "InvalidHTTPRequest", "acl must be JSON in base64")
    now = account.now()
    token = account.tokens.new_bearer(now, seconds)
    return {
        "userId": "emulator",
        "token": token,
        "status": "enable",
        "createTime": _time(now),
        "expireTime": _time(now + timedelta(seconds=seconds)),
    }


def _is_access_list(text: str | None) -> bool:
    """Whether an `acl` can be read. What it allows is not looked at: a token of the emulator opens everything."""
    try:
        return text is None or isinstance(json.loads(base64.b64decode(text, validate=True)), (dict, list))
    except ValueError:
        return False


def _no_token(reason: str) -> Answer:
    return json_answer({"error": "invalid_client", "error_description": reason}, status=401)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S}.000Z"
