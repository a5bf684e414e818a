"""TLS towards registries' token servers, host by host (B32, S78)."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pybuildkit import csvattrs
from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError

__all__ = ["RegistryTLS", "parse_registry_tls"]

_KEYS = ("host", "ca", "cert", "key", "insecure")


@dataclass(frozen=True, slots=True)
class RegistryTLS:
    """How to speak TLS with the token server of one registry.

    Attributes:
        ca: files with certificates of authorities to trust.
        key_pairs: client certificates to show, each with the file of its key.
        insecure: trust any certificate.
    """

    ca: tuple[str | os.PathLike[str], ...] = ()
    key_pairs: tuple[tuple[str | os.PathLike[str], str | os.PathLike[str]], ...] = ()
    insecure: bool = False

    def merged(self, other: RegistryTLS) -> RegistryTLS:
        """Both together."""
        return RegistryTLS(
            self.ca + other.ca, self.key_pairs + other.key_pairs, self.insecure or other.insecure
        )


def parse_registry_tls(texts: str | Iterable[str] | None) -> dict[str, RegistryTLS]:
    """Read buildctl's ``host=HOST[,ca=FILE][,cert=FILE,key=FILE][,insecure=true]``, one or several; by host.

    Raises:
        ConfigError: a host is missing, a certificate comes without its key, or there is nothing else.
    """
    found: dict[str, RegistryTLS] = {}
    for text in [texts] if isinstance(texts, str) else texts or ():
        host, entry = _parse(text)
        found[host] = found[host].merged(entry) if host in found else entry
    return found


def _parse(text: str) -> tuple[str, RegistryTLS]:
    values = dict(csvattrs.pairs(text, what="registry TLS"))
    for key in values:
        if key not in _KEYS:
            raise ConfigError(f"registry TLS {text!r}: the key {key!r} is not one of {', '.join(_KEYS)}")
    host, ca, cert, key = (values.get(k, "") for k in _KEYS[:4])
    insecure = csvattrs.parse_bool(values["insecure"], what="insecure") if "insecure" in values else False
    if not host:
        raise ConfigError(f"registry TLS {text!r} has no host, write host=NAME")
    if bool(cert) != bool(key):
        raise ConfigError(f"registry TLS {text!r}: cert and key go together, give both or none")
    if not ca and not cert and not insecure:
        raise ConfigError(f"registry TLS {text!r} says nothing: add ca=, cert= and key=, or insecure=true")
    return host, RegistryTLS((ca,) if ca else (), ((cert, key),) if cert else (), insecure)
