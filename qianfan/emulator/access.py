"""Who may call: which credential each family of endpoints takes, and what it says to a wrong one."""

from __future__ import annotations

from qianfan.emulator.account import Account
from qianfan.emulator.envelopes import Family
from qianfan.emulator.refusals import RefusedInference, RefusedObject
from qianfan.emulator.signature import verify
from qianfan.emulator.wire import Request


def admit(account: Account, family: Family, request: Request) -> None:
    """Let a request in, or raise the refusal of its family."""
    if family is Family.IAM and _is_api_key(account, request):
        return
    if family in (Family.CONSOLE_V1, Family.DATA_V1, Family.CONSOLE_V2, Family.IAM):
        verify(request, secrets_of(account), account.now())
    elif family is Family.OBJECTS:
        verify(request, secrets_of(account), account.now(), date_needed=False)
    elif family is Family.INFERENCE_V1:
        _admit_v1(account, request)
    elif family is Family.INFERENCE_V2:
        _admit_v2(account, request)


def secrets_of(account: Account) -> dict[str, str] | None:
    """Access key -> secret key, None when any key is taken."""
    return {account.keys.access_key: account.keys.secret_key} if account.keys else None


def _is_api_key(account: Account, request: Request) -> bool:
    scheme, _, token = request.header("authorization").partition(" ")
    return scheme.lower() == "bearer" and account.tokens.is_api_key(token.strip())


def _admit_v1(account: Account, request: Request) -> None:
    token = request.param("access_token")
    if token:
        _check_access_token(account, token)
        return
    if not request.header("authorization"):
        raise RefusedInference(110, "Access token invalid or no longer valid")
    try:
        verify(request, secrets_of(account), account.now())
    except RefusedObject as refusal:
        raise RefusedInference(14, f"IAM Certification failed: {refusal.text}") from refusal


def _check_access_token(account: Account, token: str) -> None:
    state = account.tokens.access_state(token, account.now())
    if state == "expired" or (state == "unknown" and "expired" in token):
        raise RefusedInference(111, "Access token expired")
    if state == "unknown" and account.keys is not None:
        raise RefusedInference(110, "Access token invalid or no longer valid")


def _admit_v2(account: Account, request: Request) -> None:
    scheme, _, token = request.header("authorization").partition(" ")
    state = account.tokens.bearer_state(token.strip(), account.now())
    known = state == "good" or (state == "unknown" and account.keys is None and bool(token.strip()))
    if scheme.lower() != "bearer" or not known:
        raise RefusedInference(14, "IAM Certification failed", word="invalid_iam_token", status=401)
