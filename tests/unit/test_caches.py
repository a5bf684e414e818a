"""Caches: attributes both ways, defaults from the environment, buildctl's text, hidden credentials."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pybuildkit._attrs import attr_keys
from pybuildkit._cache import holds_credentials
from pybuildkit._cache_text import resolve_exports, resolve_imports
from pybuildkit.caches import (
    AzureBlobCache,
    Cache,
    CacheInactiveWarning,
    GHACache,
    InlineCache,
    LocalCache,
    RegistryCache,
    S3Cache,
)
from pybuildkit.errors import ConfigError

NOTHING: dict[str, str] = {}
DIGEST = "sha256:" + "0" * 64
S3_KEYS = (
    "bucket region prefix manifests_prefix blobs_prefix name touch_refresh endpoint_url access_key_id "
    "secret_access_key session_token use_path_style upload_parallelism disable_accept_encoding retry_mode "
    "retry_max_attempts"
)


@pytest.mark.parametrize(
    ("cls", "keys"),
    [
        (S3Cache, S3_KEYS),
        (AzureBlobCache, "account_url account_name secret_access_key container prefix manifests_prefix blobs_prefix name"),
        (GHACache, "url url_v2 token scope timeout repository ghtoken version"),
        (RegistryCache, "registry.insecure image-manifest oci-mediatypes"),
        (LocalCache, "tag digest reset image-manifest oci-mediatypes"),
        (InlineCache, ""),
    ],
)  # fmt: skip
def test_every_attribute_has_a_field(cls: type[Cache], keys: str) -> None:
    """V31, V32 to V38."""
    common = {"mode", "ignore-error", "compression", "compression-level", "force-compression"}
    assert set(attr_keys(cls)) == common | set(keys.split())


def test_registry_both_ways() -> None:
    """V34: what only matters to an export is not told to an import."""
    cache = RegistryCache("a/b:c", insecure=True, mode="max", ignore_error=True, image_manifest=True)
    assert cache.import_attrs(NOTHING) == {"ref": "a/b:c", "registry.insecure": "true"}
    assert cache.export_attrs(NOTHING) == {
        "ref": "a/b:c",
        "registry.insecure": "true",
        "mode": "max",
        "ignore-error": "true",
        "image-manifest": "true",
    }


def test_local_both_ways() -> None:
    """V32, V33, S93: the path exactly as given, it names the store."""
    cache = LocalCache(Path("some/../cache"), tag="main", digest=DIGEST, reset=True)
    assert cache.import_attrs(NOTHING) == {"src": "some/../cache", "tag": "main", "digest": DIGEST}
    assert cache.export_attrs(NOTHING) == {
        "dest": "some/../cache",
        "tag": "main",
        "reset": "true",
        "mode": "min",
    }


def test_inline_is_for_exports() -> None:
    """V35."""
    assert InlineCache().export_attrs(NOTHING) == {"mode": "min"}
    with pytest.raises(ConfigError, match="only be exported"):
        InlineCache().import_attrs(NOTHING)


def test_the_general_form_and_free_attributes() -> None:
    cache = Cache("zz", {"a": "b", "mode": "odd"}, mode="max")
    assert cache.import_attrs(NOTHING) == {"a": "b", "mode": "odd"}
    assert cache.export_attrs(NOTHING) == {"a": "b", "mode": "odd"}


GITHUB = {"ACTIONS_CACHE_URL": "u1", "ACTIONS_RESULTS_URL": "u2", "ACTIONS_RUNTIME_TOKEN": "t"}


@pytest.mark.parametrize(
    ("environ", "cache", "expected"),
    [
        (GITHUB, GHACache(), {"url": "u1", "token": "t"}),
        (
            GITHUB | {"ACTIONS_CACHE_SERVICE_V2": "true"},
            GHACache(),
            {"url": "u1", "url_v2": "u2", "token": "t"},
        ),
        (GITHUB | {"ACTIONS_CACHE_SERVICE_V2": "maybe"}, GHACache(), {"url": "u1", "token": "t"}),
        (
            GITHUB,
            GHACache(version=2, scope="s"),
            {"url": "u1", "url_v2": "u2", "token": "t", "version": "2", "scope": "s"},
        ),
        ({"ACTIONS_RESULTS_URL": "u2"}, GHACache(token="x"), {"url": "u2", "token": "x"}),
        (NOTHING, GHACache(url="u", token="x"), {"url": "u", "token": "x"}),
        (NOTHING, GHACache(url_v2="u", token="x"), {"url_v2": "u", "token": "x"}),
        (
            NOTHING,
            GHACache(url="u", token="x", timeout=timedelta(minutes=1)),
            {"url": "u", "token": "x", "timeout": "60.000000s"},
        ),
    ],
)
def test_github_defaults(environ: dict[str, str], cache: GHACache, expected: dict[str, str]) -> None:
    """V36: as buildctl fills them."""
    assert cache.import_attrs(environ) == expected
    assert cache.export_attrs(environ) == expected | {"mode": "min"}


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        (NOTHING, ["ACTIONS_CACHE_URL", "ACTIONS_RUNTIME_TOKEN"]),
        ({"ACTIONS_RUNTIME_TOKEN": "t"}, ["ACTIONS_CACHE_URL"]),
        ({"ACTIONS_CACHE_URL": "u"}, ["ACTIONS_RUNTIME_TOKEN"]),
    ],
)
def test_an_inactive_github_cache_is_loud(environ: dict[str, str], names: list[str]) -> None:
    """Issue 6: never dropped in silence."""
    for attempt in (
        lambda: GHACache().import_attrs(environ),
        lambda: GHACache().export_attrs(environ),
        lambda: resolve_exports("type=gha", environ=environ),
    ):
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert all(name in str(caught.value) for name in names)
        assert "ACTIONS_CACHE_URL" in names or "ACTIONS_CACHE_URL" not in str(caught.value)
    with pytest.warns(CacheInactiveWarning, match=names[0]):
        assert resolve_imports([GHACache(required=False)], environ=environ) == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_imports([GHACache(required=False)], environ=GITHUB)[0][1]["url"] == "u1"


AWS = {
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "key",
    "AWS_SESSION_TOKEN": "session",
    "AWS_DEFAULT_REGION": "r2",
}


def test_s3_defaults_from_the_environment() -> None:
    """V37."""
    assert S3Cache(bucket="b").import_attrs(AWS) == {
        "bucket": "b",
        "region": "r2",
        "access_key_id": "id",
        "secret_access_key": "key",
        "session_token": "session",
    }
    environ = AWS | {
        "AWS_REGION": "r1",
        "AWS_BUCKET": "b",
        "AWS_ENDPOINT_URL": "u",
        "AWS_ENDPOINT_URL_S3": "u3",
    }
    attrs = S3Cache(access_key_id="mine", secret_access_key="x").export_attrs(environ)
    assert (attrs["region"], attrs["bucket"], attrs["endpoint_url"]) == ("r1", "b", "u3")
    assert (attrs["access_key_id"], attrs["secret_access_key"]) == ("mine", "x")
    assert "session_token" not in attrs
    assert S3Cache(bucket="b").import_attrs({"AWS_ACCESS_KEY_ID": "half"}) == {"bucket": "b"}
    typed = S3Cache(use_path_style=True, upload_parallelism=8, retry_mode="adaptive", touch_refresh="24h")
    assert typed.import_attrs(NOTHING) == {
        "use_path_style": "true",
        "upload_parallelism": "8",
        "retry_mode": "adaptive",
        "touch_refresh": "24h",
    }


def test_azure() -> None:
    """V38."""
    cache = AzureBlobCache(account_url="https://a.blob.core.windows.net", container="c", name="x;y")
    assert cache.import_attrs(NOTHING) == {
        "account_url": "https://a.blob.core.windows.net",
        "container": "c",
        "name": "x;y",
    }


SECRETS: tuple[Cache, ...] = (
    S3Cache(access_key_id="id", secret_access_key="hunter2", session_token="hunter2"),
    GHACache(token="hunter2", ghtoken="hunter2"),
    AzureBlobCache(account_url="https://a/?sig=hunter2", secret_access_key="hunter2"),
    Cache("new", {"api_token": "hunter2", "url": "https://a?x=hunter2"}),
    S3Cache(access_key_id="id", attrs={"secret_access_key": "hunter2"}),
)


@pytest.mark.parametrize("cache", SECRETS)
def test_credentials_are_not_shown(cache: Cache) -> None:
    for text in (repr(cache), str(cache), f"{[cache]}"):
        assert "hunter2" not in text
        assert "<hidden>" in text


def test_repr_shows_the_rest() -> None:
    assert repr(RegistryCache("a/b", mode="max")) == "RegistryCache(mode='max', ref='a/b')"


@pytest.mark.parametrize(
    ("text", "export", "expected"),
    [
        ("user/app:cache", False, RegistryCache("user/app:cache")),
        ("type=registry,ref=a,registry.insecure=1", False, RegistryCache("a", insecure=True)),
        ("TYPE=registry,ref=a,type=registry", True, RegistryCache("a")),
        ("type=local,src=d,tag=x", False, LocalCache("d", tag="x")),
        ("type=local,dest=d,reset=true", True, LocalCache("d", reset=True)),
        ("type=inline", True, InlineCache()),
        ("type=gha,scope=x,timeout=1h30m", True, GHACache(scope="x", timeout="1h30m")),
        ("type=s3,bucket=b,new_thing=1", True, S3Cache(bucket="b", attrs={"new_thing": "1"})),
        ("type=azblob,name=x", False, AzureBlobCache(name="x")),
        ("type=zz,a=b,mode=max", True, Cache("zz", {"a": "b"}, mode="max")),
        ('type=registry,"ref=a"', True, RegistryCache("a")),
    ],
)
def test_buildctl_text(text: str, export: bool, expected: Cache) -> None:
    """B25."""
    assert Cache.parse(text, export=export) == expected


@pytest.mark.parametrize(
    ("text", "export", "says"),
    [
        ("", True, "not an image reference"),
        ("type=", True, "type= is empty"),
        ("type=local,dest=d", False, r"named by src=, not dest="),
        ("type=local,src=d", True, r"named by dest=, not src="),
        ("type=local", True, "named by dest=$"),
        ("type=registry", True, "needs ref="),
        ("type=registry,ref=A", True, "lower case"),
        ("type=registry,ref=a,mode=all", True, "mode='all' is not one of min, max"),
        ("type=gha,timeout=10", True, "not a duration"),
        ("type=gha,version=two", True, "not an integer"),
        ("type=s3,retry_mode=never", True, "not one of standard, adaptive"),
        ("type=s3,access_key_id=a", True, "give both or none"),
        ("type=s3,use_path_style=si", True, "not a boolean"),
    ],
)
def test_bad_text(text: str, export: bool, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Cache.parse(text, export=export)


@pytest.mark.parametrize(
    "text", ['type=s3,secret_access_key=hunter2"', "type=s3,secret_access_key=hunter2,oops"]
)
def test_bad_text_with_credentials_is_not_quoted(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Cache.parse(text, export=True)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Cache(""), "needs a type"),
        (lambda: Cache("x", {"a": 1}), "must be a string"),  # type: ignore[dict-item]
        (lambda: LocalCache(""), "needs a directory"),
        (lambda: LocalCache(7), "needs a directory"),  # type: ignore[arg-type]
        (lambda: RegistryCache("a b"), "not an image reference"),
    ],
)
def test_bad_values(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_all_caches_of_a_build() -> None:
    assert resolve_imports(None) == resolve_exports(None) == ()
    found = resolve_exports(["type=local,dest=d", LocalCache("e"), InlineCache()], environ=NOTHING)
    assert [(c.type, a.get("dest")) for c, a in found] == [("local", "d"), ("local", "e"), ("inline", None)]
    with pytest.raises(ConfigError, match="exported to twice"):
        resolve_exports(["type=local,dest=d", LocalCache("d")], environ=NOTHING)


def test_caches_are_values() -> None:
    assert dataclasses.replace(LocalCache("a"), tag="t") == LocalCache("a", tag="t")


@pytest.mark.parametrize(
    ("attrs", "holds"),
    [
        ({"secret_access_key": "x"}, True),
        ({"token": "x"}, True),
        ({"ghtoken": "x"}, True),
        ({"session_token": "x"}, True),
        ({"account_url": "https://a.blob.core.windows.net/?sv=1&sig=x"}, True),
        ({"endpoint_url": "https://user:pass@s3.test"}, True),
        ({"token": ""}, False),
        ({"ref": "ghcr.io/acme/app@sha256:00", "mode": "max"}, False),
        ({"bucket": "b", "endpoint_url": "http://s3.test/a@b"}, False),
    ],
)
def test_what_must_not_be_kept(attrs: dict[str, str], holds: bool) -> None:
    """T20: such imports do not go where the daemon writes them down, and their values are not shown."""
    assert holds_credentials(attrs) is holds
    shown = repr(Cache("x", attrs))
    assert holds <= ("<hidden>" in shown)
