"""Settings as a value, and the one place that reads the environment.

`Settings` is frozen: built once at the edge, handed down, varied by copying. Where a value comes from, strongest first:

1. an explicit argument: `Settings(...)`, `Settings.from_env(...)`, `Client(settings=...)`;
2. a platform inside this process, while it is active (an emulator in a test);
3. an attribute assigned on `get_config()`, the process-wide object that the documentation shows;
4. the environment variable `QIANFAN_<NAME>`;
5. the `.env` file: `QIANFAN_DOT_ENV_CONFIG_FILE`, by default `.env` in the working directory;
6. the default of the field.

An import reads nothing; `default_settings()` looks each time it is asked.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic import ValidationError as FieldErrors
from pydantic_core import ErrorDetails
from typing_extensions import Self

from qianfan import _local
from qianfan.errors import ConfigurationError

PREFIX: Final = "QIANFAN_"
DOT_ENV_VARIABLE: Final = "QIANFAN_DOT_ENV_CONFIG_FILE"

_USER_INFO = re.compile(r"(?<=//)[^/?#]*@")
_HEADER_SAFE = re.compile(r"[!-~]+")


# --- the kinds of value ------------------------------------------------------------------------------------


def _stripped(value: object) -> object:
    """Blanks around a key come from copying; an empty one means that there is none."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, str):
        return value.strip() or None
    return value


def _header_safe(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not _HEADER_SAFE.fullmatch(value.get_secret_value()):
        raise ValueError("holds a blank, a line break or a non-ASCII character, which no key has")
    return value


def _access_key_safe(value: SecretStr | None) -> SecretStr | None:
    if value is not None and "/" in value.get_secret_value():
        raise ValueError("holds a '/', which no Access Key has; is it a bearer token or a secret?")
    return _header_safe(value)


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://qianfan.baidubce.com")
    return value.rstrip("/")


def _codes(value: object) -> object:
    """`[18, 336100]` as the older SDK reads it, and `18,336100` as people write it."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        return json.loads(text)
    return [int(part) if part.strip().isdigit() else part.strip() for part in text.split(",") if part.strip()]


def _home(value: Path) -> Path:
    return value.expanduser()


Secret = Annotated[SecretStr | None, BeforeValidator(_stripped)]
Token = Annotated[SecretStr | None, BeforeValidator(_stripped), AfterValidator(_header_safe)]
AccessKeyText = Annotated[SecretStr | None, BeforeValidator(_stripped), AfterValidator(_access_key_safe)]
Text = Annotated[str | None, BeforeValidator(_stripped)]
Address = Annotated[str, AfterValidator(_address)]
Codes = Annotated[frozenset[int | str], BeforeValidator(_codes)]
Seconds = Annotated[float, Field(ge=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]
Attempts = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Everything a client can be told, as one frozen value. Nothing is read from outside; see `from_env`.

    Raises ConfigurationError for an unknown name or a value that cannot be used.

    Two defaults differ from the older SDK on purpose: console calls that change nothing are tried four times
    with growing waits (there: once), so that a lost connection does not end a training run. Calls that create or
    bill something are sent once whatever these settings say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, protected_namespaces=())

    # keys
    access_key: AccessKeyText = None
    """Access Key of the account: console, object storage, and what else accepts a signature."""
    secret_key: Secret = None
    """Secret Key of the account."""
    ak: Token = None
    """API Key of an application, for OAuth. Not the same as `access_key`."""
    sk: Secret = None
    """Secret Key of an application. Not the same as `secret_key`."""
    access_token: Secret = None
    """A ready-made OAuth token; replaced after it expired only if `ak` and `sk` are there too."""
    bearer_token: Token = None
    """A ready-made bearer token or API key for V2 inference."""
    app_id: Text = None
    """Application id, sent as `appid` with V2 inference."""
    access_code: Token = None
    """Access code of a private deployment, used with `enable_private`."""
    enable_private: bool = False
    """Talk to a private deployment at `base_url`: by its access code, by `ak` and `sk` as a signature, or without."""
    no_auth: bool = False
    """Send inference requests without credentials, for a gateway that adds them."""

    # addresses
    base_url: Address = "https://aip.baidubce.com"
    """V1 inference and OAuth."""
    console_api_base_url: Address = "https://qianfan.baidubce.com"
    """Console and V2 inference."""
    iam_base_url: Address = "https://iam.bj.baidubce.com"
    """Short-lived bearer tokens."""
    bos_base_url: Address | None = None
    """Sends all object storage traffic to one address, path style; None: `https://<bucket>.<region>.bcebos.com`."""
    bos_bucket: Text = None
    """Bucket of yours that local files pass through when a trainer uploads them."""
    bos_folder: str = "qianfan"
    """Folder in `bos_bucket` for them."""

    # orders that cost money
    submit_on_absent: Literal["hold", "fence", "resubmit"] = "hold"
    """What becomes of a paid order without a clear answer that does not show up: a person decides (`hold`), its job is
    deleted and a new one begun (`fence`), or it is sent again (`resubmit`)."""
    submit_settle_seconds: Seconds = 120.0
    """For how long such an order is looked for. It must be longer than a request can live, which is 30 s."""
    bos_host_region: str = Field(default="bj", pattern=r"^[a-z0-9-]+$")
    """Region of a bucket when a call names none."""
    iam_host: Text = None
    """Host header for V1 inference signed with account keys, for gateways; the connection goes to `base_url`."""
    model_api_prefix: str = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
    """Path before `/chat/<endpoint>` and its like."""
    chat_v2_api_route: str = "/v2/chat/completions"
    embedding_v2_api_route: str = "/v2/embeddings"
    reranker_v2_api_route: str = "/v2/rerankers"
    use_custom_endpoint: bool = False
    """Take endpoints as they are, without `/chat/` and its like before them."""

    # authentication timing
    auth_timeout: PositiveSeconds = 5.0
    """Seconds for one request for a token."""
    iam_sign_expiration_sec: int = Field(default=300, gt=0)
    """Seconds that a signature is valid."""
    bearer_token_expired_interval: int = Field(default=43200, ge=300, le=2592000)
    """Lifetime in seconds to ask for when fetching a bearer token."""

    # retries: counts are attempts in all; 1 means no retry
    llm_api_retry_count: Attempts = 3
    llm_api_retry_timeout: PositiveSeconds = 300.0
    """Seconds for one attempt of an inference call; of a stream, for the wait until its next piece."""
    llm_api_retry_backoff_factor: Seconds = 1.0
    """Seconds before the second attempt; doubles from there."""
    llm_api_retry_jitter: Seconds = 1.0
    llm_api_retry_max_wait_interval: Seconds = 120.0
    llm_api_retry_err_codes: Codes = frozenset({2, 15, 18, 336100, 336501, 336502})
    """Codes to retry besides those that are temporary by their nature."""
    console_api_retry_count: Attempts = 4
    console_api_retry_timeout: PositiveSeconds = 60.0
    console_api_retry_backoff_factor: Seconds = 0.5
    console_api_retry_jitter: Seconds = 1.0
    console_api_retry_max_wait_interval: Seconds = 120.0
    console_api_retry_err_codes: Codes = frozenset({18, 336100, 500000})

    # how much at once
    qps_limit: float = Field(default=0.0, ge=0)
    """Inference requests per second, for each model; 0: no limit. Together with `rpm_limit`, both hold."""
    rpm_limit: float = Field(default=0.0, ge=0)
    """Inference requests per minute, for each model; 0: no limit."""
    tpm_limit: int = Field(default=0, ge=0)
    """Tokens per minute, asked and answered, for each model; 0: no limit."""
    limiter_buffer_ratio: float = Field(default=0.0, ge=0, lt=1)
    """Part of every limit, the user's or the platform's, that is left unused."""
    limiter_disabled: bool = False
    """Neither keep to limits nor learn those that the platform tells."""
    limiter_group: Text = None
    """Name under which all calls share one budget, instead of one budget for each account and model."""
    limiter_timeout: PositiveSeconds | None = None
    """Seconds that a call waits for its turn at most; None: as long as it takes."""
    limiter_redis_url: Secret = None
    """`redis://…` of a server over which several processes share their budgets; needs the extra `redis`."""
    limiter_redis_required: bool = False
    """Refuse calls while that server cannot be reached, instead of limiting each process by itself."""
    max_requests_in_flight: int = Field(default=4, ge=1)
    """Requests on their way at once, per event loop; more wait in line."""
    max_streams: int = Field(default=32, ge=1)
    """Streams, uploads and downloads at once, per event loop; they do not hold up the requests above."""

    # network and files
    proxy: str = ""
    """One proxy for http and https; empty: what HTTP_PROXY and its like say."""
    ssl_verification_enabled: bool = True
    file_encoding: str = "utf-8"
    """Encoding of local files."""
    cache_dir: Annotated[Path, AfterValidator(_home)] = Field(default=Path("~/.qianfan_cache"), validate_default=True)
    disable_cache: bool = False
    export_file_size_limit: int = Field(default=2 * 1024**3, ge=0)
    """Bytes; a larger export is not unpacked."""
    get_entity_content_failed_retry_times: int = Field(default=3, ge=0)

    # waiting for remote work, seconds between looks
    import_status_polling_interval: Seconds = 2.0
    export_status_polling_interval: Seconds = 2.0
    release_status_polling_interval: Seconds = 2.0
    etl_status_polling_interval: Seconds = 2.0
    train_status_polling_interval: Seconds = 30.0
    model_publish_status_polling_interval: Seconds = 30.0
    model_comp_status_polling_interval: Seconds = 15.0
    batch_run_status_polling_interval: Seconds = 30.0
    deploy_status_polling_interval: Seconds = 30.0
    evaluation_online_polling_interval: Seconds = 30.0
    trainer_status_polling_backoff_factor: float = Field(default=3.0, ge=0)
    trainer_status_polling_retry_times: float = Field(default=3.0, ge=0)

    default_fine_tune_train_type: str = "ERNIE-Speed"

    if TYPE_CHECKING:
        # The validators take more than the fields hold: a key as plain text, a path as text.
        def __init__(self, **values: Any) -> None: ...

    @model_validator(mode="wrap")
    @classmethod
    def _speak_our_language(cls, data: Any, handler: Any, info: Any) -> Self:
        """Turn pydantic's report into a ConfigurationError that says where each wrong value came from."""
        try:
            made: Self = handler(data)
        except FieldErrors as errors:
            sources: Mapping[str, str] = (info.context or {}).get("sources", {})
            given: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
            problems = [_problem(error, given, sources) for error in errors.errors(include_url=False)]
        else:
            return made
        raise ConfigurationError("; ".join(problems)) from None

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Read the environment and the `.env` file, with the given fields on top.

        Unknown `QIANFAN_` names and empty values are ignored. Raises ConfigurationError that names the variable, the
        value unless it is a secret, and where it was found.
        """
        dot_env = _dot_env_path()
        return cls._layered(
            (None, overrides), ("environment", _from_environment()), (f"file {dot_env}", _from_file(dot_env))
        )

    @classmethod
    def _layered(cls, *layers: tuple[str | None, Mapping[str, Any]]) -> Self:
        """Build from several sources, strongest first; a source's name is None for plain arguments."""
        merged: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for source, values in reversed(layers):
            for name, value in values.items():
                merged[name] = value
                sources[name] = source or ""
        return cls.model_validate(merged, context={"sources": sources})

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some fields changed."""
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**{**kept, **changes})

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Only what was set; passwords inside addresses are left out."""
        for name in type(self).model_fields:
            if name in self.model_fields_set:
                value = getattr(self, name)
                yield name, _USER_INFO.sub("***@", value) if isinstance(value, str) else value


FIELDS: Final = frozenset(Settings.model_fields)
_SECRETS: Final = frozenset(
    {"access_key", "secret_key", "ak", "sk", "access_token", "bearer_token", "access_code", "limiter_redis_url"}
)
_BY_COMPACT_NAME: Final = {name.replace("_", ""): name for name in Settings.model_fields}


def _problem(error: ErrorDetails, given: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    """One wrong field as a sentence: name, value unless secret, source, reason."""
    name = str(error["loc"][0]) if error["loc"] else "settings"
    if error["type"] == "extra_forbidden":
        return _unknown(name)
    source = sources.get(name)
    label = PREFIX + name.upper() if source else name
    value = given.get(name)
    if name in _SECRETS or isinstance(value, SecretStr):
        shown = ""
    elif isinstance(value, str):
        shown = f"={_USER_INFO.sub('***@', value)!r}"
    else:
        shown = f"={value!r}"
    reason = error["msg"].removeprefix("Value error, ")
    return f"{label}{shown}{f' (from {source})' if source else ''}: {reason}"


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), FIELDS, n=1)
    return f"there is no setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


# --- environment and file ------------------------------------------------------------------------------------


def _dot_env_path() -> Path:
    return Path(os.environ.get(DOT_ENV_VARIABLE) or ".env").expanduser().absolute()


def _from_environment() -> dict[str, str]:
    return _known(os.environ)


def _from_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    from dotenv import dotenv_values

    try:
        # Editors on Windows put a byte order mark in front, which "utf-8" would take for part of the first name.
        return _known(dotenv_values(path, encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the settings file {path}: {error}") from error


def _known(variables: Mapping[str, str | None]) -> dict[str, str]:
    """The fields among the variables; an empty value counts as absent, as in `QIANFAN_AK=`."""
    found: dict[str, str] = {}
    for variable, value in variables.items():
        if value and variable.startswith(PREFIX) and variable.isupper():
            name = variable[len(PREFIX) :].lower()
            if name in FIELDS:
                found[name] = value
    return found


# --- the process-wide object ---------------------------------------------------------------------------------


def _field_of(name: str) -> str | None:
    """The field that `ACCESS_KEY`, `access_key` and `AccessKey` all mean."""
    return _BY_COMPACT_NAME.get(name.replace("_", "").lower())


class Config:
    """The process-wide configuration: `get_config().ACCESS_KEY = "..."`.

    Reads give the value in force now; keys come out as plain text. Assigned values beat the environment and reach
    every client made later. Names may be written `ACCESS_KEY`, `access_key` or `AccessKey`.
    """

    __slots__ = ("_assigned",)

    _assigned: dict[str, Any]

    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "_assigned", {})
        for name, value in values.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        field = None if name.startswith("_") else _field_of(name)
        if field is None:
            raise AttributeError(_unknown(name))
        value = getattr(self.settings(), field)
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    def __setattr__(self, name: str, value: Any) -> None:
        field = _field_of(name)
        if field is None:
            raise ConfigurationError(_unknown(name))
        Settings(**{field: value})  # a wrong value is refused here, not at some later request
        # A new dictionary instead of a change, so that other threads never see half of one.
        object.__setattr__(self, "_assigned", {**self._assigned, field: value})

    def __dir__(self) -> list[str]:
        return sorted([*(name.upper() for name in FIELDS), "settings"])

    def __repr__(self) -> str:
        return f"Config({self.settings()!r})"

    def settings(self) -> Settings:
        """What is in force now, as a value."""
        return _current(self._assigned)


_lock = threading.Lock()
_config = Config()
_last: tuple[Any, Settings] | None = None


def get_config() -> Config:
    """The process-wide configuration object."""
    return _config


def get_config_with_kwargs(**kwargs: Any) -> Config:
    """A separate configuration: what is assigned process-wide, with these values on top; unknown names are ignored."""
    known = {field: value for name, value in kwargs.items() if (field := _field_of(name)) is not None}
    return Config(**{**_config._assigned, **known})


def reset_config() -> None:
    """Forget everything assigned on `get_config()`."""
    global _last
    with _lock:
        object.__setattr__(_config, "_assigned", {})
        _last = None


def default_settings() -> Settings:
    """What a client works with when it is given nothing: looked up each time, cheap while nothing changed."""
    return _current(_config._assigned)


def _current(assigned: dict[str, Any]) -> Settings:
    global _last
    platform = _local.active()
    dot_env = _dot_env_path()
    key = (platform, assigned, tuple(sorted(_from_environment().items())), dot_env, _stamp(dot_env))
    with _lock:
        if _last is not None and _last[0] == key:
            return _last[1]
    local = _fields(platform.settings) if platform is not None else {}
    made = Settings._layered(
        (platform.base_url if platform is not None else None, local),
        (None, assigned),
        ("environment", _from_environment()),
        (f"file {dot_env}", _from_file(dot_env)),
    )
    with _lock:
        _last = (key, made)
    return made


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Setting names in any spelling -> fields."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        field = _field_of(name)
        if field is None:
            raise ConfigurationError(_unknown(name))
        found[field] = value
    return found


# --- setters of the older SDK --------------------------------------------------------------------------------


def AK(ak: str) -> None:  # noqa: N802  the documented name
    """Set the API Key of an application, process-wide."""
    _config.AK = ak


def SK(sk: str) -> None:  # noqa: N802  the documented name
    """Set the Secret Key of an application, process-wide."""
    _config.SK = sk


def AccessKey(access_key: str) -> None:  # noqa: N802  the documented name
    """Set the Access Key of the account, process-wide."""
    _config.ACCESS_KEY = access_key


def SecretKey(secret_key: str) -> None:  # noqa: N802  the documented name
    """Set the Secret Key of the account, process-wide."""
    _config.SECRET_KEY = secret_key


def AccessToken(access_token: str) -> None:  # noqa: N802  the documented name
    """Set a ready-made OAuth token, process-wide."""
    _config.ACCESS_TOKEN = access_token
