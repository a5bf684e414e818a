"""Pushing an image to a registry, with nothing but the standard library."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

from pybuildkit.errors import ConfigError, ConnectError, RegistryAuthError, TransferError
from pybuildkit.testing.images import OCIImage

__all__ = ["push"]


def push(
    image: OCIImage,
    reference: str,
    *,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    timeout: float = 30.0,
) -> str:
    """Push an image, or an index with all its images.

    Args:
        image: what to push.
        reference: where to, as ``127.0.0.1:5000/library/busybox:latest``.
        headers: sent with each request, as ``{"Authorization": "Basic ..."}``.
        tls: speak HTTPS; plain HTTP by default.
        timeout: seconds for each step of a request.

    Returns:
        The digest of the manifest, or index.

    Raises:
        ConfigError: the reference can not be read.
        ConnectError: no registry answers there.
        RegistryAuthError: the registry wants other credentials.
        TransferError: the registry refused a part.
    """
    host, _, rest = reference.partition("/")
    name, _, tag = rest.rpartition(":")
    if not host or not name or not tag or "/" in tag:
        raise ConfigError(f"reference {reference!r} can not be read; write host:port/name:tag")
    with _Registry(host, name, headers or {}, tls, timeout) as registry:
        for each in image.images:
            manifest = each.document
            for entry in (manifest["config"], *manifest["layers"]):
                registry.put_blob(entry["digest"], each.blobs[entry["digest"]])
            registry.put_manifest(each.digest, each.media_type, each.blobs[each.digest])
        registry.put_manifest(tag, image.media_type, image.blobs[image.digest])
    return image.digest


class _Registry:
    """One connection to a registry, for one repository."""

    def __init__(
        self, host: str, name: str, headers: Mapping[str, str], tls: ssl.SSLContext | None, timeout: float
    ) -> None:
        self._host = host
        self._name = name
        self._headers = dict(headers)
        self._connection = (
            http.client.HTTPConnection(host, timeout=timeout)
            if tls is None
            else http.client.HTTPSConnection(host, timeout=timeout, context=tls)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def put_blob(self, digest: str, blob: bytes) -> None:
        """Upload a blob, unless the registry has it."""
        if self._request("HEAD", f"/v2/{self._name}/blobs/{digest}", also=(404,)).status == 200:
            return
        started = self._request("POST", f"/v2/{self._name}/blobs/uploads/")
        location = urlsplit(started.headers["Location"])
        query = "&".join(filter(None, (location.query, urlencode({"digest": digest}))))
        self._request("PUT", f"{location.path}?{query}", blob, "application/octet-stream")

    def put_manifest(self, reference: str, media_type: str, manifest: bytes) -> None:
        """Upload a manifest under a tag or its digest."""
        self._request("PUT", f"/v2/{self._name}/manifests/{reference}", manifest, media_type)

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        media_type: str = "",
        *,
        also: tuple[int, ...] = (),
    ) -> http.client.HTTPResponse:
        headers = {**self._headers, **({"Content-Type": media_type} if media_type else {})}
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            text = response.read().decode(errors="replace")
        except OSError as exc:
            raise ConnectError(f"registry {self._host} does not answer: {exc}", address=self._host) from exc
        if response.status in (401, 403):
            error = RegistryAuthError(f"registry {self._host} refused the credentials: {text.strip()}")
            error.host = self._host
            raise error
        if response.status >= 300 and response.status not in also:
            raise TransferError(
                f"registry {self._host} refused {method} {path}: {response.status} {text.strip()}"
            )
        return response
