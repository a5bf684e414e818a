"""AWS' variables and shared files, as its own tools read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybuildkit._aws import s3_defaults
from pybuildkit.caches import S3Cache
from pybuildkit.errors import ConfigError

KEYS = {"AWS_ACCESS_KEY_ID": "env-id", "AWS_SECRET_ACCESS_KEY": "env-secret"}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nregion = eu-west-1\naws_access_key_id = config-id\naws_secret_access_key = config-secret\n"
        "[profile ci]\nregion=eu-north-1\nendpoint_url = http://s3.test\n[profile sso]\nsso_session = x\n"
    )
    (tmp_path / ".aws" / "credentials").write_text(
        "; a comment\n[default]\naws_access_key_id = file-id\naws_secret_access_key = file-secret\n"
        "[ci]\naws_access_key_id = ci-id\naws_secret_access_key = ci%secret\naws_session_token = ci-token\n"
    )
    return {"HOME": str(tmp_path)}


def test_nothing_is_there() -> None:
    assert s3_defaults({}) == {}
    assert s3_defaults({"HOME": "/nonexistent"}) == {}


def test_the_default_profile(home: dict[str, str]) -> None:
    assert s3_defaults(home) == {
        "region": "eu-west-1",
        "access_key_id": "file-id",
        "secret_access_key": "file-secret",
    }


def test_a_named_profile(home: dict[str, str]) -> None:
    assert s3_defaults({**home, "AWS_PROFILE": "ci"}) == {
        "region": "eu-north-1",
        "endpoint_url": "http://s3.test",
        "access_key_id": "ci-id",
        "secret_access_key": "ci%secret",
        "session_token": "ci-token",
    }


def test_variables_win_and_credentials_are_not_mixed(home: dict[str, str]) -> None:
    found = s3_defaults({**home, **KEYS, "AWS_PROFILE": "ci", "AWS_REGION": "us-east-2", "AWS_BUCKET": "b"})
    assert found == {
        "bucket": "b",
        "region": "us-east-2",
        "endpoint_url": "http://s3.test",
        "access_key_id": "env-id",
        "secret_access_key": "env-secret",
    }
    half = s3_defaults({**home, "AWS_ACCESS_KEY_ID": "env-id"})
    assert half["access_key_id"] == "file-id"


def test_a_profile_whose_keys_are_elsewhere(home: dict[str, str]) -> None:
    """The daemon then looks for its own."""
    assert s3_defaults({**home, "AWS_PROFILE": "sso"}) == {}


def test_a_profile_that_is_not_there(home: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="'prod'"):
        s3_defaults({**home, "AWS_PROFILE": "prod"})


def test_files_at_other_places(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "other").write_text("[default]\naws_access_key_id=a\naws_secret_access_key=b\n")
    found = s3_defaults(
        {**home, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "other"), "AWS_CONFIG_FILE": "/nonexistent"}
    )
    assert found == {"access_key_id": "a", "secret_access_key": "b"}


@pytest.mark.parametrize(
    "text", ["aws_secret_access_key = HUSH\n", "[default\nHUSH", "[default]\n\xff\0HUSH = \udc80"]
)
def test_a_file_that_can_not_be_read_is_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match="credentials") as caught:
        s3_defaults({"AWS_SHARED_CREDENTIALS_FILE": str(path)})
    assert "HUSH" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_arguments_win_over_all(home: dict[str, str]) -> None:
    cache = S3Cache(bucket="b", access_key_id="a", secret_access_key="s", region="r")
    environ = {**home, "AWS_PROFILE": "ci", "AWS_SESSION_TOKEN": "t", **KEYS}
    assert cache.import_attrs(environ) == {
        "bucket": "b",
        "access_key_id": "a",
        "secret_access_key": "s",
        "region": "r",
        "endpoint_url": "http://s3.test",
    }
