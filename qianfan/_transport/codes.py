"""The platform's error codes, as data: which class of error they become, whether waiting helps, what to do about them.

Numbers belong to V1 and the console, words to V2, IAM and object storage; no number means two things. A code that is
not listed is a plain APIError that waiting does not help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qianfan.errors import AccessTokenExpiredError, APIError, AuthError, BearerTokenExpiredError, RateLimitError


@dataclass(frozen=True)
class Code:
    """What is known about one code.

    kind: the error class; temporary: the same request may succeed later; hint: what the reader can do, as a sentence
    without its full stop; clock: a clock that is off can be the reason.
    """

    kind: type[APIError] = APIError
    temporary: bool = False
    hint: str | None = None
    clock: bool = False


KEY_KINDS: Final = (
    "The account's Access Key and Secret Key (QIANFAN_ACCESS_KEY, QIANFAN_SECRET_KEY) and an application's "
    "API Key and Secret Key (QIANFAN_AK, QIANFAN_SK) are different pairs: check that they are not mixed up"
)
UNKNOWN_ACCESS_KEY: Final = f"The Access Key is unknown. {KEY_KINDS}"
WRONG_SECRET: Final = f"The Secret Key does not belong to this Access Key, or the clock is off. {KEY_KINDS}"
_UNKNOWN_ENDPOINT: Final = "Check the model name or endpoint, and that the service is running"
_SHORTEN: Final = "Shorten the input"
_QUOTA: Final = "Wait up to a minute, or lower the rate with QIANFAN_RPM_LIMIT or QIANFAN_QPS_LIMIT"
_TOO_MANY_TOKENS: Final = "Wait up to a minute, or lower the rate with QIANFAN_TPM_LIMIT"
_PAY: Final = "The daily limit is used up, the service is not enabled for payment, or the account is in arrears"
_PERMISSION: Final = "The account has no permission for this; grant it in the access management of the console"

UNKNOWN: Final = Code()

CODES: Final[Mapping[int | str, Code]] = {
    # V1 inference and console
    1: Code(temporary=True),
    2: Code(temporary=True),
    3: Code(hint=_UNKNOWN_ENDPOINT),
    4: Code(temporary=True),
    6: Code(hint=_PERMISSION),
    13: Code(AuthError, hint=KEY_KINDS),
    14: Code(AuthError, hint=f"Check the keys and this machine's clock. {KEY_KINDS}", clock=True),
    15: Code(temporary=True),
    17: Code(hint=_PAY),
    18: Code(RateLimitError, temporary=True, hint=_QUOTA),
    19: Code(hint="The total number of requests is used up"),
    110: Code(AccessTokenExpiredError, hint="Set QIANFAN_AK and QIANFAN_SK to have tokens fetched, or a new token"),
    111: Code(AccessTokenExpiredError, hint="Set QIANFAN_AK and QIANFAN_SK to have tokens fetched, or a new token"),
    336000: Code(temporary=True),
    336004: Code(hint=_PERMISSION),
    336005: Code(hint=_UNKNOWN_ENDPOINT),
    336006: Code(hint=_SHORTEN),
    336008: Code(hint=_SHORTEN),
    336100: Code(temporary=True),
    336103: Code(hint=_SHORTEN),
    336200: Code(temporary=True),
    336501: Code(RateLimitError, temporary=True, hint=_QUOTA),
    336502: Code(RateLimitError, temporary=True, hint=_TOO_MANY_TOKENS),
    1000: Code(temporary=True),
    500000: Code(temporary=True),
    510403: Code(hint=_PAY),
    500002: Code(AuthError, hint=_PERMISSION),
    # V2 inference
    "characters_too_long": Code(hint=_SHORTEN),
    "tokens_too_long": Code(hint=_SHORTEN),
    "invalid_model": Code(hint=_UNKNOWN_ENDPOINT),
    "no_parameter_permission": Code(hint=_PERMISSION),
    "invalid_appid": Code(hint="The account has no permission for the application in QIANFAN_APP_ID"),
    "invalid_iam_token": Code(
        BearerTokenExpiredError,
        hint="Set QIANFAN_ACCESS_KEY and QIANFAN_SECRET_KEY to have tokens fetched, or a new QIANFAN_BEARER_TOKEN",
    ),
    "rpm_rate_limit_exceeded": Code(RateLimitError, temporary=True, hint=_QUOTA),
    "tpm_rate_limit_exceeded": Code(RateLimitError, temporary=True, hint=_TOO_MANY_TOKENS),
    "internal_error": Code(temporary=True),
    # OAuth
    "invalid_client": Code(AuthError, hint=f"The API Key or its Secret Key is wrong. {KEY_KINDS}"),
    "server_error": Code(temporary=True),
    "temporarily_unavailable": Code(temporary=True),
    # console V2, IAM and object storage
    "AccessDenied": Code(hint=_PERMISSION),
    "AccountOverdue": Code(hint=_PAY),
    "OptInRequired": Code(hint="The product is not enabled for this account; enable it in the console"),
    "InternalError": Code(temporary=True),
    "ServiceUnavailable": Code(temporary=True),
    "SlowDown": Code(RateLimitError, temporary=True),
    "InvalidAccessKeyId": Code(AuthError, hint=UNKNOWN_ACCESS_KEY),
    "InvalidHTTPAuthHeader": Code(AuthError, hint=KEY_KINDS),
    "RequestExpired": Code(
        AuthError, hint="The signature was too old on arrival: check this machine's clock", clock=True
    ),
    "SignatureDoesNotMatch": Code(AuthError, hint=WRONG_SECRET, clock=True),
}

HEADER_MESSAGES: Final[Mapping[str, str]] = {
    "NotFound, cause: Could not find credential.": "InvalidAccessKeyId",
    "SignatureDoesNotMatch, cause: Fail to authn user: Signature does not match": "SignatureDoesNotMatch",
}
"""What a refusal says in `X-Bce-Error-Message`, and the code it stands for."""

TEMPORARY_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed."""


def lookup(code: int | str) -> Code:
    """What is known about a code."""
    return CODES.get(code, UNKNOWN)


def normalised(code: object) -> int | str:
    """The code as number where it is one: some answers write numbers as text."""
    if isinstance(code, bool) or not isinstance(code, (int, str)):
        return str(code)
    if isinstance(code, int):
        return code
    text = code.strip()
    return int(text) if text.isascii() and text.lstrip("-").isdigit() and len(text) < 20 else text
