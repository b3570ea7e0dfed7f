"""The error words of the platform with the HTTP status, and in V2 inference the type, that they come with."""

from __future__ import annotations

INFERENCE_V2: dict[str, tuple[int, str]] = {
    **dict.fromkeys(
        (
            "malformed_json",
            "invalid_model",
            "invalid_messages",
            "characters_too_long",
            "tokens_too_long",
            "invalid_argument",
            "invalid_plugin_argument",
            "invalid_image_url",
            # The documents spell these two in both ways.
            "invalid_image_genration_prompt",
            "invalid_image_genration_refer_image",
            "invalid_image_generation_prompt",
            "invalid_image_generation_refer_image",
        ),
        (400, "invalid_request_error"),
    ),
    "image_url_unsafe": (400, "unsafe_request"),
    "no_parameter_permission": (401, "access_denied"),
    "invalid_appid": (401, "invalid_request_error"),
    "invalid_iam_token": (401, "invalid_request_error"),
    "rpm_rate_limit_exceeded": (429, "rate_limit_exceeded"),
    "tpm_rate_limit_exceeded": (429, "rate_limit_exceeded"),
    # The word for a refused preemptable request is not established; this one is our reading.
    "preemptable_request_refused": (429, "rate_limit_exceeded"),
    "internal_error": (500, "internal_error"),
}

STATUS: dict[str, int] = {
    "AccessDenied": 403,
    "AccountOverdue": 403,
    "BadDigest": 400,
    "BucketAlreadyExists": 409,
    "BucketNotEmpty": 409,
    "EntityTooLarge": 400,
    "EntityTooSmall": 400,
    "IdempotentParameterMismatch": 403,
    "InappropriateJSON": 400,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidBucketName": 400,
    "InvalidHTTPAuthHeader": 400,
    "InvalidHTTPRequest": 400,
    "InvalidObjectName": 400,
    "InvalidPart": 400,
    "InvalidPartOrder": 400,
    "InvalidRange": 416,
    "InvalidURI": 400,
    "InvalidVersion": 404,
    "MalformedJSON": 400,
    "MethodNotAllowed": 405,
    "MissingContentLength": 411,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "OptInRequired": 403,
    "PreconditionFailed": 412,
    "RequestExpired": 400,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "SlowDown": 503,
    "TaskRunningNumberExceedLimit": 400,
}
"""The words of console V2, IAM and object storage."""
