"""Names of registries: one registry has many of them, Docker Hub above all."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["DOCKER_HUB", "canonical_host", "config_key"]

DOCKER_HUB = "docker.io"
"""What Docker Hub is called here, as in image names."""

_HUB_CONFIG_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = frozenset([DOCKER_HUB, "index.docker.io", "registry-1.docker.io"])


def canonical_host(name: str) -> str:
    """A registry's host, and port if it has one, from whatever it was written as.

    The daemon speaks of ``registry-1.docker.io``, docker's configuration of ``https://index.docker.io/v1/`` (S75);
    both are ``docker.io`` here.
    """
    text = name.strip()
    if "://" in text:
        text = urlsplit(text).netloc.rpartition("@")[2]
    host = text.partition("/")[0].lower()
    return DOCKER_HUB if host in _HUB_NAMES else host


def config_key(host: str) -> str:
    """What docker's configuration and its credential helpers call a registry (S75)."""
    return _HUB_CONFIG_KEY if canonical_host(host) == DOCKER_HUB else host
