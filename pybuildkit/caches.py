"""Build caches that live outside the daemon, to import from and to export to.

One value serves both directions: ``LocalCache("cache")`` in ``cache_from`` reads that directory, in
``cache_to`` writes it. Credentials in a value are never shown by its ``repr``, and the build history of the daemon gets
none of them (T20).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar, Literal

from pybuildkit._attrs import attr, boolean, choice, duration, integer, text
from pybuildkit._cache import Cache, CacheInactiveWarning, CacheMode
from pybuildkit._values import KW_ONLY, dataclass, field
from pybuildkit.csvattrs import parse_bool
from pybuildkit.errors import ConfigError
from pybuildkit.references import Reference

__all__ = [
    "AzureBlobCache",
    "Cache",
    "CacheInactiveWarning",
    "CacheMode",
    "GHACache",
    "InlineCache",
    "LocalCache",
    "RegistryCache",
    "S3Cache",
]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class InlineCache(Cache):
    """The cache inside the image itself: exported with a pushed image, imported from the image's name."""

    type: str = field(default="inline", init=False)
    _: KW_ONLY
    attrs: Mapping[str, str] = field(default_factory=dict)

    exports_only: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class LocalCache(Cache):
    """A directory on this side (V32, V33).

    Attributes:
        path: the directory.
        tag: which entry of its index; ``latest`` when not given.
        digest: the entry's digest, to import an exact one.
        reset: after an export remove what the index does not reach; left to the last one when several builds use the
            directory at the same time.
        oci_mediatypes: OCI's media types instead of Docker's.
        image_manifest: write the index as an image manifest.
    """

    type: str = field(default="local", init=False)
    attrs: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    path: str | os.PathLike[str]
    _: KW_ONLY
    tag: str | None = field(default=None, metadata=attr("tag", text))
    digest: str | None = field(default=None, metadata=attr("digest", text))
    reset: bool | None = field(default=None, metadata=attr("reset", boolean))
    oci_mediatypes: bool | None = field(default=None, metadata=attr("oci-mediatypes", boolean))
    image_manifest: bool | None = field(default=None, metadata=attr("image-manifest", boolean))

    def __post_init__(self) -> None:
        """Check the path."""
        if not isinstance(self.path, str | os.PathLike) or not os.fspath(self.path):
            raise ConfigError("cache local: it needs a directory")
        Cache.__post_init__(self)

    def _completed(
        self, attrs: dict[str, str], environ: Mapping[str, str], *, export: bool
    ) -> dict[str, str]:
        if export:
            attrs.pop("digest", None)
        return {("dest" if export else "src"): os.fspath(self.path), **attrs}


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class RegistryCache(Cache):
    """An artifact in a registry, pushed and pulled by the daemon (V34).

    Attributes:
        ref: its name, as ``ghcr.io/acme/api:cache``.
        insecure: over plain HTTP or with an unknown certificate.
        oci_mediatypes: OCI's media types instead of Docker's.
        image_manifest: write the index as an image manifest, for registries that want one.
    """

    type: str = field(default="registry", init=False)
    attrs: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    ref: str | Reference
    _: KW_ONLY
    insecure: bool | None = field(default=None, metadata=attr("registry.insecure", boolean))
    oci_mediatypes: bool | None = field(default=None, metadata=attr("oci-mediatypes", boolean))
    image_manifest: bool | None = field(default=None, metadata=attr("image-manifest", boolean))

    def __post_init__(self) -> None:
        """Check the name."""
        try:
            Reference.parse(str(self.ref))
        except ConfigError as exc:
            raise ConfigError(f"cache registry: {exc}") from None
        Cache.__post_init__(self)

    def _completed(
        self, attrs: dict[str, str], environ: Mapping[str, str], *, export: bool
    ) -> dict[str, str]:
        return {"ref": str(self.ref), **attrs}


@dataclass(frozen=True, slots=True, repr=False, eq=False, kw_only=True)
class GHACache(Cache):
    """GitHub's cache service, from inside a workflow (V36).

    What is not given comes from the variables of an action step. A plain ``run:`` step does not see them:
    export them there with ``crazy-max/ghaction-github-runtime`` or the like.

    Attributes:
        scope: separates caches of one branch; ``buildkit`` when not given.
        url: the service, version 1; ``$ACTIONS_CACHE_URL``, else ``$ACTIONS_RESULTS_URL``.
        url_v2: the service, version 2; ``$ACTIONS_RESULTS_URL`` when the version is 2.
        token: ``$ACTIONS_RUNTIME_TOKEN``.
        version: 1 or 2; 2 when ``$ACTIONS_CACHE_SERVICE_V2`` is true.
        timeout: of an import or export, as ``10m`` or a timedelta.
        repository: for the REST API, to know which entries are there.
        ghtoken: token for the REST API.
    """

    type: str = field(default="gha", init=False)
    attrs: Mapping[str, str] = field(default_factory=dict)
    scope: str | None = field(default=None, metadata=attr("scope", text))
    url: str | None = field(default=None, metadata=attr("url", text))
    url_v2: str | None = field(default=None, metadata=attr("url_v2", text))
    token: str | None = field(default=None, metadata=attr("token", text))
    version: Literal[1, 2] | None = field(default=None, metadata=attr("version", integer))
    timeout: str | timedelta | None = field(default=None, metadata=attr("timeout", duration))
    repository: str | None = field(default=None, metadata=attr("repository", text))
    ghtoken: str | None = field(default=None, metadata=attr("ghtoken", text))

    def inactive(self, environ: Mapping[str, str] | None = None) -> str:
        """Which variable is missing."""
        attrs = self._filled(self._rendered(), os.environ if environ is None else environ)
        missing = []
        if "url" not in attrs and "url_v2" not in attrs:
            missing.append("url= ($ACTIONS_CACHE_URL or $ACTIONS_RESULTS_URL)")
        if "token" not in attrs:
            missing.append("token= ($ACTIONS_RUNTIME_TOKEN)")
        if not missing:
            return ""
        return (
            f"{' and '.join(missing)} not given and not set; in a workflow's run: step export them first, "
            "elsewhere there is no such cache"
        )

    def _completed(
        self, attrs: dict[str, str], environ: Mapping[str, str], *, export: bool
    ) -> dict[str, str]:
        reason = self.inactive(environ)
        if reason:
            raise ConfigError(f"cache gha: {reason}")
        return self._filled(attrs, environ)

    def _filled(self, attrs: dict[str, str], environ: Mapping[str, str]) -> dict[str, str]:
        found = dict(attrs)
        version = found.get("version", "2" if _is_true(environ.get("ACTIONS_CACHE_SERVICE_V2")) else "")
        results = environ.get("ACTIONS_RESULTS_URL")
        if version == "2" and results is not None:
            found.setdefault("url_v2", results)
        url = environ.get("ACTIONS_CACHE_URL", results)
        if url is not None:
            found.setdefault("url", url)
        token = environ.get("ACTIONS_RUNTIME_TOKEN")
        if token is not None:
            found.setdefault("token", token)
        return found


@dataclass(frozen=True, slots=True, repr=False, eq=False, kw_only=True)
class S3Cache(Cache):
    """A bucket of S3 or a server that speaks its protocol, reached by the daemon (V37).

    What is not given comes from this process' ``AWS_*`` variables and shared files (``~/.aws``), else from the daemon's
    own.

    Attributes:
        bucket: ``$AWS_BUCKET``.
        region: ``$AWS_REGION``, ``$AWS_DEFAULT_REGION``, or the profile's.
        name: of the cache in the bucket, several separated by ``;``; ``buildkit`` when not given.
        prefix: put before all keys.
        manifests_prefix: of manifests; ``manifests/`` when not given.
        blobs_prefix: of blobs; ``blobs/`` when not given.
        endpoint_url: the server, when it is not AWS; ``$AWS_ENDPOINT_URL_S3``, ``$AWS_ENDPOINT_URL``.
        use_path_style: the bucket in the path instead of the host name.
        access_key_id: ``$AWS_ACCESS_KEY_ID``, or that of the profile (``$AWS_PROFILE``, ``default``); with none the
            daemon looks for credentials of its own.
        secret_access_key: ``$AWS_SECRET_ACCESS_KEY``.
        session_token: ``$AWS_SESSION_TOKEN``.
        touch_refresh: how old an object may get before it is touched, as ``24h``.
        upload_parallelism: how many layers at once; 4 when not given.
        disable_accept_encoding: for servers that reckon signatures otherwise.
        retry_mode: ``standard`` or ``adaptive``.
        retry_max_attempts: how often to try.
    """

    type: str = field(default="s3", init=False)
    attrs: Mapping[str, str] = field(default_factory=dict)
    bucket: str | None = field(default=None, metadata=attr("bucket", text))
    region: str | None = field(default=None, metadata=attr("region", text))
    name: str | None = field(default=None, metadata=attr("name", text))
    prefix: str | None = field(default=None, metadata=attr("prefix", text))
    manifests_prefix: str | None = field(default=None, metadata=attr("manifests_prefix", text))
    blobs_prefix: str | None = field(default=None, metadata=attr("blobs_prefix", text))
    endpoint_url: str | None = field(default=None, metadata=attr("endpoint_url", text))
    use_path_style: bool | None = field(default=None, metadata=attr("use_path_style", boolean))
    access_key_id: str | None = field(default=None, metadata=attr("access_key_id", text))
    secret_access_key: str | None = field(default=None, metadata=attr("secret_access_key", text))
    session_token: str | None = field(default=None, metadata=attr("session_token", text))
    touch_refresh: str | timedelta | None = field(default=None, metadata=attr("touch_refresh", duration))
    upload_parallelism: int | None = field(default=None, metadata=attr("upload_parallelism", integer))
    disable_accept_encoding: bool | None = field(
        default=None, metadata=attr("disable_accept_encoding", boolean)
    )
    retry_mode: Literal["standard", "adaptive"] | None = field(
        default=None, metadata=attr("retry_mode", choice("standard", "adaptive"))
    )
    retry_max_attempts: int | None = field(default=None, metadata=attr("retry_max_attempts", integer))

    def __post_init__(self) -> None:
        """Check that the credentials are whole."""
        Cache.__post_init__(self)
        attrs = self._rendered()
        if bool(attrs.get("access_key_id")) != bool(attrs.get("secret_access_key")):
            raise ConfigError("cache s3: access_key_id and secret_access_key go together, give both or none")

    def _completed(
        self, attrs: dict[str, str], environ: Mapping[str, str], *, export: bool
    ) -> dict[str, str]:
        from pybuildkit._aws import s3_defaults

        defaults = s3_defaults(environ)
        if "access_key_id" in attrs:
            # Credentials come from one place, never in parts.
            defaults = {key: defaults[key] for key in defaults if key not in _AWS_CREDENTIALS}
        return {**defaults, **attrs}


_AWS_CREDENTIALS = ("access_key_id", "secret_access_key", "session_token")


@dataclass(frozen=True, slots=True, repr=False, eq=False, kw_only=True)
class AzureBlobCache(Cache):
    """A container of Azure's blob storage, reached by the daemon (V38).

    What is not given comes from the daemon's own environment and identity.

    Attributes:
        account_url: as ``https://account.blob.core.windows.net``.
        account_name: when the URL does not tell.
        secret_access_key: the account's key.
        container: ``buildkit-cache`` when not given.
        name: of the cache in the container, several separated by ``;``; ``buildkit`` when not given.
        prefix: put before all keys.
        manifests_prefix: of manifests; ``manifests`` when not given.
        blobs_prefix: of blobs; ``blobs`` when not given.
    """

    type: str = field(default="azblob", init=False)
    attrs: Mapping[str, str] = field(default_factory=dict)
    account_url: str | None = field(default=None, metadata=attr("account_url", text))
    account_name: str | None = field(default=None, metadata=attr("account_name", text))
    secret_access_key: str | None = field(default=None, metadata=attr("secret_access_key", text))
    container: str | None = field(default=None, metadata=attr("container", text))
    name: str | None = field(default=None, metadata=attr("name", text))
    prefix: str | None = field(default=None, metadata=attr("prefix", text))
    manifests_prefix: str | None = field(default=None, metadata=attr("manifests_prefix", text))
    blobs_prefix: str | None = field(default=None, metadata=attr("blobs_prefix", text))


def _is_true(value: str | None) -> bool:
    """A Go boolean that counts as false when it is none, as buildctl has it."""
    try:
        return value is not None and parse_bool(value, what="")
    except ConfigError:
        return False
