"""Attestations: statements about an image, whose content a build makes (V64)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Literal, TypeAlias

from pybuildkit._values import dataclass, field
from pybuildkit.errors import ConfigError
from pybuildkit.gateway._types import RefT

__all__ = ["Attestation", "AttestationKind", "Subject", "SubjectKind"]

AttestationKind: TypeAlias = Literal["in-toto", "bundle"]
SubjectKind: TypeAlias = Literal["self", "raw"]

KINDS: tuple[AttestationKind, ...] = ("in-toto", "bundle")
SUBJECT_KINDS: tuple[SubjectKind, ...] = ("self", "raw")

_PROVENANCE = "https://slsa.dev/provenance/"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about.

    Attributes:
        name: its name, empty for the image's own.
        digests: as ``sha256:...``; for ``raw`` only.
        kind: ``self`` is the image itself, ``raw`` something else that has these digests.
    """

    name: str = ""
    digests: tuple[str, ...] = ()
    kind: SubjectKind = "raw"

    def __post_init__(self) -> None:
        if self.kind not in SUBJECT_KINDS:
            raise ConfigError(f"subject kind {self.kind!r} does not exist; use self or raw")
        if self.kind == "raw" and not self.digests:
            raise ConfigError("a raw subject needs digests; kind='self' stands for the image itself")


@dataclass(frozen=True, slots=True)
class Attestation(Generic[RefT]):
    """A statement about an image, whose predicate is a file of a solve's result.

    Attributes:
        ref: where the file is; None only in what a daemon gave.
        path: the file; for a bundle the directory with whole statements.
        predicate_type: as ``https://spdx.dev/Document``; may be empty for a bundle.
        kind: ``in-toto``: the file is a predicate; ``bundle``: the directory holds in-toto statements.
        subjects: what it is about; the image itself when empty.
        metadata: what exporters are told, as ``{"reason": b"sbom"}``.
    """

    ref: RefT | None
    path: str
    predicate_type: str = ""
    kind: AttestationKind = "in-toto"
    subjects: tuple[Subject, ...] = ()
    metadata: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"attestation kind {self.kind!r} does not exist; use in-toto or bundle")

    def check(self) -> None:
        """See whether exporters will take it.

        Raises:
            ConfigError: they will not.
        """
        if self.ref is None:
            raise ConfigError(f"attestation {self.path!r} has no reference to read it from")
        if self.kind == "in-toto":
            if not self.path:
                raise ConfigError("an attestation needs the path of the file with its predicate")
            if not self.predicate_type:
                raise ConfigError(
                    f"attestation {self.path!r} needs a predicate_type, as https://spdx.dev/Document"
                )
        if self.predicate_type.startswith(_PROVENANCE):
            raise ConfigError(
                "the daemon makes provenance itself and takes none from a build; ask for it with the option "
                "attest:provenance"
            )
