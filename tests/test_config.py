"""Settings: where values come from, what is refused, what is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from qianfan import _local
from qianfan.config import (
    AK,
    SK,
    AccessKey,
    AccessToken,
    SecretKey,
    Settings,
    default_settings,
    get_config,
    get_config_with_kwargs,
    reset_config,
)
from qianfan.errors import ConfigurationError


def secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


# --- the value -----------------------------------------------------------------------------------------------


def test_documented_defaults() -> None:
    settings = Settings()
    assert settings.base_url == "https://aip.baidubce.com"
    assert settings.console_api_base_url == "https://qianfan.baidubce.com"
    assert settings.iam_base_url == "https://iam.bj.baidubce.com"
    assert settings.iam_sign_expiration_sec == 300
    assert settings.train_status_polling_interval == 30
    assert settings.import_status_polling_interval == 2
    assert settings.llm_api_retry_count == 3
    assert settings.llm_api_retry_timeout == 300
    assert settings.console_api_retry_timeout == 60
    assert settings.cache_dir == Path.home() / ".qianfan_cache"
    assert settings.export_file_size_limit == 2 * 1024**3
    assert settings.ssl_verification_enabled
    assert not settings.disable_cache
    assert settings.access_key is None


def test_a_constructor_reads_nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", "from-environment")
    Path(".env").write_text("QIANFAN_SECRET_KEY=from-file\n")
    assert Settings().access_key is None
    assert Settings().secret_key is None


def test_settings_are_frozen_hashable_and_comparable() -> None:
    settings = Settings(access_key="a", qps_limit=3)
    assert settings == Settings(access_key="a", qps_limit=3.0)
    assert hash(settings) == hash(Settings(access_key="a", qps_limit=3.0))
    assert settings != Settings(access_key="b", qps_limit=3)
    assert Settings(no_auth=False) == Settings(), "saying the default changes nothing"
    with pytest.raises(Exception, match="frozen"):
        settings.qps_limit = 4  # type: ignore[misc]


def test_replace_makes_a_validated_copy() -> None:
    settings = Settings(access_key="a", secret_key="s")
    changed = settings.replace(secret_key="t", console_api_retry_count=9)
    assert secret(changed.access_key) == "a"
    assert secret(changed.secret_key) == "t"
    assert secret(settings.secret_key) == "s"
    with pytest.raises(ConfigurationError, match="console_api_retry_count"):
        settings.replace(console_api_retry_count=0)


def test_nothing_printed_holds_a_secret() -> None:
    settings = Settings(
        access_key="hush-1",
        secret_key="hush-2",
        ak="hush-3",
        sk="hush-4",
        access_token="hush-5",
        bearer_token="hush-6",
        proxy="http://user:hush-7@proxy:80",
    )
    get_config().SECRET_KEY = "hush-8"
    for text in (repr(settings), str(settings), repr(get_config()), f"{settings}"):
        assert "hush" not in text
    assert "proxy:80" in repr(settings)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"acess_key": "x"}, ["'acess_key'", "did you mean 'access_key'"]),
        ({"qps_limit": "fast"}, ["qps_limit='fast'"]),
        ({"console_api_retry_count": 0}, ["console_api_retry_count=0", "greater than or equal to 1"]),
        ({"base_url": "aip.baidubce.com"}, ["base_url='aip.baidubce.com'", "https://"]),
        ({"base_url": "https://u:hush@host?x"}, ["***@host"]),
        ({"access_key": "hush hush"}, ["access_key", "blank"]),
        ({"bearer_token": "hush\nhush"}, ["bearer_token", "line break"]),
        ({"access_key": "bce-v3/hush/hush"}, ["access_key", "'/'"]),
        ({"secret_key": 12}, ["secret_key"]),
        ({"qps_limit": "a", "tpm_limit": "b"}, ["qps_limit='a'", "tpm_limit='b'"]),
    ],
)
def test_a_wrong_value_is_named_and_a_secret_is_not_shown(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(**values)
    for word in words:
        assert word in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "   ", None])
def test_an_empty_key_is_none(value: Any) -> None:
    assert Settings(access_key=value).access_key is None


def test_blanks_around_a_key_are_dropped() -> None:
    assert secret(Settings(secret_key=" s \n").secret_key) == "s"


def test_a_slash_at_the_end_of_an_address_is_dropped() -> None:
    assert Settings(base_url="http://localhost:8100/").base_url == "http://localhost:8100"


# --- environment and file ------------------------------------------------------------------------------------


def test_from_env_prefers_arguments_then_environment_then_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", "environment")
    monkeypatch.setenv("QIANFAN_SECRET_KEY", "environment")
    Path(".env").write_text("QIANFAN_ACCESS_KEY=file\nQIANFAN_SECRET_KEY=file\nQIANFAN_AK=file\n")
    settings = Settings.from_env(access_key="argument")
    assert (secret(settings.access_key), secret(settings.secret_key), secret(settings.ak)) == (
        "argument",
        "environment",
        "file",
    )


def test_dot_env_syntax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "gz")
    Path("my.env").write_bytes(
        b"\xef\xbb\xbfQIANFAN_AK=first\n# a comment\nexport QIANFAN_SK='quoted'\n"
        b'QIANFAN_BOS_HOST_REGION="${REGION}"\nQIANFAN_UNKNOWN=1\nOTHER=2\nQIANFAN_PROXY=\nQIANFAN_APP_ID\n'
    )
    monkeypatch.setenv("QIANFAN_DOT_ENV_CONFIG_FILE", "my.env")
    settings = Settings.from_env()
    assert (secret(settings.ak), secret(settings.sk), settings.bos_host_region) == ("first", "quoted", "gz")
    assert settings.app_id is None


def test_a_missing_file_and_unknown_variables_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_DOT_ENV_CONFIG_FILE", "nowhere.env")
    monkeypatch.setenv("QIANFAN_SOMETHING_ELSE", "1")
    monkeypatch.setenv("qianfan_ak", "lower case is not read")
    assert Settings.from_env() == Settings()


def test_a_file_that_cannot_be_read_is_named() -> None:
    Path(".env").write_bytes(b"QIANFAN_AK=\xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"\.env"):
        Settings.from_env()


@pytest.mark.parametrize("name", ["AK", "ACCESS_KEY", "QPS_LIMIT", "BASE_URL", "BOS_BASE_URL"])
def test_an_empty_variable_is_absent(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"QIANFAN_{name}", "")
    assert Settings.from_env() == Settings()


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("on", True), ("T", True), ("YES", True), ("0", False), ("off", False), ("n", False)],
)
def test_spellings_of_yes_and_no(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("QIANFAN_NO_AUTH", text)
    assert Settings.from_env().no_auth is value


@pytest.mark.parametrize("text", ["[18, 336100]", "18,336100", " 18 , 336100 "])
def test_spellings_of_a_set_of_codes(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("QIANFAN_CONSOLE_API_RETRY_ERR_CODES", text)
    assert Settings.from_env().console_api_retry_err_codes == {18, 336100}


def test_a_wrong_variable_is_named_with_its_value_and_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_AUTH_TIMEOUT", "soon")
    Path(".env").write_text(
        "QIANFAN_TPM_LIMIT=many\nQIANFAN_ACCESS_KEY='hush hush'\nQIANFAN_LLM_API_RETRY_ERR_CODES=[1\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env()
    message = str(caught.value)
    assert "QIANFAN_AUTH_TIMEOUT='soon' (from environment)" in message
    assert f"QIANFAN_TPM_LIMIT='many' (from file {Path('.env').absolute()})" in message
    assert "QIANFAN_LLM_API_RETRY_ERR_CODES='[1'" in message
    assert "QIANFAN_ACCESS_KEY" in message
    assert "hush" not in message


# --- the process-wide object ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["ACCESS_KEY", "access_key", "AccessKey"])
def test_three_spellings_mean_one_setting(spelling: str) -> None:
    setattr(get_config(), spelling, "key")
    assert get_config().ACCESS_KEY == "key"
    assert getattr(get_config(), spelling) == "key"
    assert secret(default_settings().access_key) == "key"


def test_an_assigned_value_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", "environment")
    assert get_config().ACCESS_KEY == "environment"
    get_config().ACCESS_KEY = "assigned"
    assert get_config().ACCESS_KEY == "assigned"
    reset_config()
    assert get_config().ACCESS_KEY == "environment"


def test_assigning_none_takes_a_key_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_AK", "environment")
    get_config().AK = None
    assert default_settings().ak is None


def test_unknown_names_and_wrong_values_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'secret_key'"):
        get_config().SECRET_KEI = "x"
    with pytest.raises(AttributeError, match="did you mean 'secret_key'"):
        _ = get_config().SECRET_KEI
    assert not hasattr(get_config(), "NOTHING_LIKE_IT")
    with pytest.raises(ConfigurationError, match="qps_limit='x'"):
        get_config().QPS_LIMIT = "x"
    assert default_settings() == Settings()


def test_setters_of_the_older_sdk() -> None:
    AK("1")
    SK("2")
    AccessKey("3")
    SecretKey("4")
    AccessToken("5")
    settings = default_settings()
    keys = (settings.ak, settings.sk, settings.access_key, settings.secret_key, settings.access_token)
    assert [secret(key) for key in keys] == ["1", "2", "3", "4", "5"]


def test_get_config_with_kwargs_leaves_the_process_alone() -> None:
    get_config().AK = "process"
    config = get_config_with_kwargs(sk="own", not_a_setting=1)
    assert (config.AK, config.SK) == ("process", "own")
    assert get_config().SK is None


# --- what a client gets --------------------------------------------------------------------------------------


def test_default_settings_follow_the_environment_and_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_settings() is default_settings(), "nothing changed, nothing is built"
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", "one")
    assert secret(default_settings().access_key) == "one"
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", "two")
    assert secret(default_settings().access_key) == "two"
    Path(".env").write_text("QIANFAN_SECRET_KEY=file\n")
    assert secret(default_settings().secret_key) == "file"
    Path(".env").write_text("QIANFAN_SECRET_KEY=another\n")
    os.utime(".env", ns=(1, 1))
    assert secret(default_settings().secret_key) == "another"


def test_a_platform_inside_the_process_beats_everything_but_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", "environment")
    get_config().ACCESS_KEY = "assigned"
    platform = _local.LocalPlatform(
        "http://here.internal", lambda: None, {"ACCESS_KEY": "local", "CONSOLE_API_BASE_URL": "http://here.internal"}
    )
    _local.serve(platform)
    _local.activate(platform)
    try:
        assert secret(default_settings().access_key) == "local"
        assert default_settings().console_api_base_url == "http://here.internal"
    finally:
        _local.withdraw(platform)
    assert secret(default_settings().access_key) == "assigned"


def test_importing_the_configuration_loads_no_http_library() -> None:
    code = "import sys, qianfan.config; print(sorted({'httpx', 'dotenv', 'pydantic_settings'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
