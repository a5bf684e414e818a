"""Source policies: rules on what a build may fetch, and from where (V81)."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from pybuildkit._values import dataclass, field
from pybuildkit._wire import field_bytes, field_varint
from pybuildkit.errors import ConfigError

__all__ = ["Action", "Condition", "Constraint", "Match", "Rule", "SourcePolicy", "load_source_policy"]

Action: TypeAlias = Literal["ALLOW", "DENY", "CONVERT"]
Match: TypeAlias = Literal["WILDCARD", "EXACT", "REGEX"]
Condition: TypeAlias = Literal["EQUAL", "NOTEQUAL", "MATCHES"]

_ACTIONS: tuple[Action, ...] = get_args(Action)
_MATCHES: tuple[Match, ...] = get_args(Match)
_CONDITIONS: tuple[Condition, ...] = get_args(Condition)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A condition on one attribute of a source, as ``git.checksum``."""

    key: str
    value: str
    condition: Condition = "EQUAL"

    def __post_init__(self) -> None:
        """Check the condition."""
        _member(self.condition, _CONDITIONS, "condition")


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done with sources that match. The last rule that allows or denies decides.

    Attributes:
        action: ``CONVERT`` replaces the source, and its attributes; the result is matched again.
        identifier: the source, as ``docker-image://docker.io/library/*``.
        match: how it is compared. ``WILDCARD`` and ``REGEX`` leave ``${1}`` … for ``to``.
        constraints: all must hold.
        to: the source that replaces it; the same when only ``attrs`` are set.
        attrs: attributes that are set on it.
    """

    action: Action
    identifier: str
    match: Match = "WILDCARD"
    constraints: tuple[Constraint, ...] = ()
    to: str = ""
    attrs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what the daemon would take for something else."""
        _member(self.action, _ACTIONS, "action")
        _member(self.match, _MATCHES, "match_type")
        if not self.identifier:
            raise ConfigError("source policy: a rule has no identifier to match, * matches all")
        changes = bool(self.to or self.attrs)
        if self.action == "CONVERT" and not changes:
            raise ConfigError(f"source policy: CONVERT of {self.identifier!r} says not to what")
        if self.action != "CONVERT" and changes:
            raise ConfigError(
                f"source policy: {self.action} of {self.identifier!r} can not change it, use CONVERT"
            )

    @classmethod
    def allow(cls, identifier: str, *constraints: Constraint, match: Match = "WILDCARD") -> Rule:
        """A rule that allows."""
        return cls("ALLOW", identifier, match, constraints)

    @classmethod
    def deny(cls, identifier: str, *constraints: Constraint, match: Match = "WILDCARD") -> Rule:
        """A rule that denies."""
        return cls("DENY", identifier, match, constraints)

    @classmethod
    def convert(
        cls,
        identifier: str,
        to: str = "",
        *constraints: Constraint,
        attrs: Mapping[str, str] | None = None,
        match: Match = "WILDCARD",
    ) -> Rule:
        """A rule that replaces, as a tag by a digest."""
        return cls("CONVERT", identifier, match, constraints, to, attrs or {})

    def encode(self) -> bytes:
        """The rule as the daemon gets it."""
        selector = [field_bytes(1, self.identifier.encode()), field_varint(2, _MATCHES.index(self.match))]
        for c in self.constraints:
            condition = field_varint(3, _CONDITIONS.index(c.condition))
            selector.append(field_bytes(3, _string(1, c.key) + _string(2, c.value) + condition))
        parts = [field_varint(1, _ACTIONS.index(self.action)), field_bytes(2, b"".join(selector))]
        if self.action == "CONVERT":
            entries = (
                field_bytes(1, k.encode()) + field_bytes(2, self.attrs[k].encode())
                for k in sorted(self.attrs)
            )
            # Without a destination the daemon would take the pattern itself for one, stars and all.
            to = self.to or ("" if self.match == "EXACT" else "${0}")
            parts.append(field_bytes(3, _string(1, to) + b"".join(field_bytes(2, e) for e in entries)))
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """Rules on the sources of a build."""

    rules: tuple[Rule, ...] = ()
    version: int = 1

    def __post_init__(self) -> None:
        """Take any sequence of rules."""
        object.__setattr__(self, "rules", tuple(self.rules))
        if self.version != 1:
            raise ConfigError(f"source policy: version {self.version} is not known, use 1")

    @classmethod
    def from_json(cls, text: str | bytes) -> SourcePolicy:
        """Read the JSON that buildctl takes (B30).

        Unlike there an unknown key is an error: a misspelt one would change the meaning.

        Raises:
            ConfigError: it can not be read.
        """
        try:
            found = json.loads(text)
        except ValueError as exc:
            raise ConfigError(f"source policy: not JSON: {exc}") from None
        top = _object(found, "the policy", "version", "rules")
        return cls(
            tuple(_rule(r, f"rule {n}") for n, r in enumerate(_list(top, "rules"), 1)),
            top.get("version", 1),
        )

    def encode(self) -> bytes:
        """The policy as the daemon gets it."""
        return field_varint(1, self.version) + b"".join(field_bytes(2, r.encode()) for r in self.rules)


def load_source_policy(value: SourcePolicy | str | os.PathLike[str] | None) -> SourcePolicy | None:
    """A policy, or one read from a JSON file. Blocks on reading.

    Raises:
        ConfigError: the file can not be read, or is no policy.
    """
    if value is None or isinstance(value, SourcePolicy):
        return value
    path = Path(value)
    try:
        return SourcePolicy.from_json(path.read_bytes())
    except OSError as exc:
        raise ConfigError(f"source policy: {str(path)!r} can not be read: {exc.strerror}") from exc
    except ConfigError as exc:
        raise ConfigError(f"{exc}, in {str(path)!r}") from None


def _rule(value: object, where: str) -> Rule:
    rule = _object(value, where, "action", "selector", "updates")
    selector = _object(rule.get("selector"), f"{where}: selector", "identifier", "match_type", "constraints")
    updates = _object(rule.get("updates"), f"{where}: updates", "identifier", "attrs")
    attrs = _object(updates.get("attrs"), f"{where}: attrs")
    if not all(isinstance(v, str) for v in attrs.values()):
        raise ConfigError(f"source policy: {where}: the values of attrs must be strings")
    return Rule(
        action=_enum(rule.get("action", 0), _ACTIONS, f"{where}: action"),
        identifier=_text(selector, "identifier", where),
        match=_enum(selector.get("match_type", 0), _MATCHES, f"{where}: match_type"),
        constraints=tuple(_constraint(c, where) for c in _list(selector, "constraints")),
        to=_text(updates, "identifier", where),
        attrs=attrs,
    )


def _constraint(value: object, where: str) -> Constraint:
    found = _object(value, f"{where}: constraint", "key", "value", "condition")
    condition = _enum(found.get("condition", 0), _CONDITIONS, f"{where}: condition")
    return Constraint(_text(found, "key", where), _text(found, "value", where), condition)


def _object(value: object, where: str, *keys: str) -> dict[str, Any]:
    """A JSON object with those keys alone, in any case as Go reads them; without keys, with any."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"source policy: {where} must be an object")
    if not keys:
        return value
    out: dict[str, Any] = {}
    for key, item in value.items():
        if key.lower() not in keys:
            near = difflib.get_close_matches(key.lower(), keys, 1, 0.5)
            hint = f", did you mean {near[0]}?" if near else f", it has {', '.join(keys)}"
            raise ConfigError(f"source policy: {where} has no {key!r}{hint}")
        out[key.lower()] = item
    return {key: item for key, item in out.items() if item is not None}


def _list(found: Mapping[str, Any], key: str) -> list[Any]:
    value = found.get(key, [])
    if not isinstance(value, list):
        raise ConfigError(f"source policy: {key} must be a list")
    return value


def _text(found: Mapping[str, Any], key: str, where: str) -> str:
    value = found.get(key, "")
    if not isinstance(value, str):
        raise ConfigError(f"source policy: {where}: {key} must be a string")
    return value


def _enum(value: object, names: tuple[Any, ...], where: str) -> Any:
    """A name, or its number: both forms are about (V81)."""
    if isinstance(value, str) and value in names:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return names[value]
    raise ConfigError(f"source policy: {where} is {value!r}, not one of {', '.join(names)}")


def _member(value: object, names: tuple[str, ...], what: str) -> None:
    if value not in names:
        raise ConfigError(f"source policy: {what} {value!r} is not one of {', '.join(names)}")


def _string(number: int, value: str) -> bytes:
    return field_bytes(number, value.encode()) if value else b""
