"""Image references: ``alpine``, ``ghcr.io/acme/api:1.4``, ``localhost:5000/x@sha256:…``.

Parsing and normalisation are those of the distribution project, which the daemon uses (tests compare with Go
over a table): a name without a registry is one of Docker Hub, one without a namespace is in ``library``.
"""

from __future__ import annotations

import re

from pybuildkit._values import dataclass, replace
from pybuildkit.digests import parse_digest
from pybuildkit.errors import ConfigError

__all__ = ["DEFAULT_REGISTRY", "DEFAULT_TAG", "Reference"]

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"

_LEGACY_REGISTRY = "index.docker.io"
_OFFICIAL = "library/"
_MAX_PATH = 255

_WORD = r"[a-z0-9]+"
_PATH_COMPONENT = rf"{_WORD}(?:(?:[._]|__|-+){_WORD})*"
_PATH = rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}"

# Compiled when first used, which is a matter of start-up time; the re module keeps them.
_REFERENCE = rf"(?:({_HOST})/)?({_PATH})(?::({_TAG}))?(?:@({_DIGEST}))?"
_HEX_ID = r"[a-f0-9]{64}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A normalised image reference.

    Attributes:
        domain: the registry, as ``docker.io`` or ``localhost:5000``; empty for the odd name whose first part
            has a dot but can not be a host, as ``a_b.c/d``.
        path: the repository in the registry, as ``library/alpine``.
        tag: the tag, empty when there is none.
        digest: the digest, empty when there is none.
    """

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference and normalise its name.

        Raises:
            ConfigError: it is no image reference.
        """
        if re.fullmatch(_HEX_ID, text):
            raise ConfigError(f"{text!r} is an image id, not a name; names can not be 64 hexadecimal digits")
        domain, rest = _split_domain(text)
        repository = rest.partition(":")[0]
        if repository.lower() != repository:
            raise ConfigError(f"image reference {text!r}: the repository must be in lower case")
        match = re.fullmatch(_REFERENCE, f"{domain}/{rest}")
        if match is None:
            raise ConfigError(f"{text!r} is not an image reference, write [registry/]name[:tag][@digest]")
        domain, path, tag, digest = match.groups(default="")
        if len(path) > _MAX_PATH:
            raise ConfigError(f"image reference {text!r}: the name is longer than {_MAX_PATH} characters")
        if digest:
            parse_digest(digest)
        return cls(domain, path, tag, digest)

    @property
    def name(self) -> str:
        """Registry and repository, as ``docker.io/library/alpine``."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def familiar_name(self) -> str:
        """The name as people write it: ``alpine``, not ``docker.io/library/alpine``."""
        if self.domain != DEFAULT_REGISTRY:
            return self.name
        short = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in short else short

    @property
    def familiar(self) -> str:
        """The reference as people write it, with tag and digest."""
        return self.familiar_name + self._suffix()

    @property
    def is_name_only(self) -> bool:
        """Whether there is neither tag nor digest."""
        return not self.tag and not self.digest

    def with_tag(self, tag: str) -> Reference:
        """The same with that tag.

        Raises:
            ConfigError: it is no tag.
        """
        if not re.fullmatch(_TAG, tag):
            raise ConfigError(
                f"{tag!r} is not a tag: letters, digits and _.-, at most 128, not starting with . or -"
            )
        return replace(self, tag=tag)

    def with_digest(self, digest: str) -> Reference:
        """The same with that digest.

        Raises:
            ConfigError: it is no digest.
        """
        parse_digest(digest)
        return replace(self, digest=digest)

    def with_default_tag(self) -> Reference:
        """With the tag ``latest`` when there is neither tag nor digest."""
        return self.with_tag(DEFAULT_TAG) if self.is_name_only else self

    def resolved(self) -> Reference:
        """What is really asked of a registry: the digest alone when there is one, else a tag."""
        return replace(self, tag="") if self.digest else self.with_default_tag()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        """The full form, ``docker.io/library/alpine:3.20``."""
        return self.name + self._suffix()


def _split_domain(text: str) -> tuple[str, str]:
    """What is before the first slash is a registry when it looks like one: has a dot, colon or capital."""
    first, slash, rest = text.partition("/")
    if not slash:
        return DEFAULT_REGISTRY, _OFFICIAL + text
    if first == _LEGACY_REGISTRY:
        first = DEFAULT_REGISTRY
    elif not (first == "localhost" or "." in first or ":" in first or first.lower() != first):
        return DEFAULT_REGISTRY, text
    if first == DEFAULT_REGISTRY and "/" not in rest:
        rest = _OFFICIAL + rest
    return first, rest
