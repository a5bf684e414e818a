"""Source policies: the JSON that buildctl takes, the bytes that the daemon gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pybuildkit._pb import policy_pb2
from pybuildkit.errors import ConfigError
from pybuildkit.sourcepolicy import Constraint, Match, Rule, SourcePolicy, load_source_policy

PIN = "docker-image://docker.io/library/alpine@sha256:" + "0" * 64

POLICY = SourcePolicy(
    (
        Rule.deny("docker-image://*"),
        Rule.allow("docker-image://docker.io/library/*", Constraint("image.checksum", "x", "NOTEQUAL")),
        Rule.convert(r"docker-image://(.*):latest", PIN, attrs={"b": "2", "a": "1", "ab": ""}, match="REGEX"),
        Rule.convert("https://example.com/x", attrs={"http.checksum": "sha256:x"}, match="EXACT"),
    )
)
JSON = {
    "version": 1,
    "rules": [
        {"action": "DENY", "selector": {"identifier": "docker-image://*"}},
        {
            "action": 0,
            "selector": {
                "identifier": "docker-image://docker.io/library/*",
                "match_type": 0,
                "constraints": [{"key": "image.checksum", "value": "x", "condition": "NOTEQUAL"}],
            },
        },
        {
            "Action": "CONVERT",
            "Selector": {"Identifier": r"docker-image://(.*):latest", "Match_Type": "REGEX"},
            "Updates": {"identifier": PIN, "attrs": {"b": "2", "a": "1", "ab": ""}},
        },
        {
            "action": 2,
            "selector": {"identifier": "https://example.com/x", "match_type": 1, "constraints": None},
            "updates": {"attrs": {"http.checksum": "sha256:x"}},
        },
    ],
}


def test_json_as_buildctl_reads_it() -> None:
    """V81, B30: names or numbers, keys in any case."""
    assert SourcePolicy.from_json(json.dumps(JSON)) == POLICY
    assert SourcePolicy.from_json(b"{}") == SourcePolicy()


def test_the_bytes_are_the_message() -> None:
    """C24."""
    message = policy_pb2.Policy.FromString(POLICY.encode())
    assert message.version == 1
    kinds = [(r.action, r.selector.match_type) for r in message.rules]
    assert kinds == [(1, 0), (0, 0), (2, 2), (2, 1)]
    assert [r.selector.identifier for r in message.rules] == [r.identifier for r in POLICY.rules]
    [constraint] = message.rules[1].selector.constraints
    assert (constraint.key, constraint.value, constraint.condition) == ("image.checksum", "x", 1)
    assert message.rules[2].updates.identifier == PIN
    assert dict(message.rules[2].updates.attrs) == {"b": "2", "a": "1", "ab": ""}
    assert [r.HasField("updates") for r in message.rules] == [False, False, True, True]
    assert not message.rules[0].selector.constraints


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x", "not JSON"),
        ("[]", "the policy must be an object"),
        ('{"version":2}', "version 2 is not known"),
        ('{"rule":[]}', "'rule', did you mean rules"),
        ('{"rules":{}}', "rules must be a list"),
        ('{"rules":[7]}', "rule 1 must be an object"),
        ('{"rules":[{"action":"FORBID","selector":{"identifier":"*"}}]}', "'FORBID', not one of ALLOW"),
        ('{"rules":[{"action":3,"selector":{"identifier":"*"}}]}', "is 3, not one of"),
        ('{"rules":[{"action":true,"selector":{"identifier":"*"}}]}', "is True, not one of"),
        ('{"rules":[{"action":"DENY"}]}', "no identifier"),
        ('{"rules":[{"selector":{"matchType":"EXACT"}}]}', "did you mean match_type"),
        ('{"rules":[{"selector":{"identifier":7}}]}', "identifier must be a string"),
        ('{"rules":[{"action":"CONVERT","selector":{"identifier":"*"}}]}', "says not to what"),
        (
            '{"rules":[{"action":"CONVERT","selector":{"identifier":"*"},"updates":{"attrs":{"a":1}}}]}',
            "must be strings",
        ),
    ],
)
def test_bad_json(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SourcePolicy.from_json(text)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Rule("NO", "*"), "action 'NO'"),  # type: ignore[arg-type]
        (lambda: Rule("DENY", "*", "GLOB"), "match_type 'GLOB'"),  # type: ignore[arg-type]
        (lambda: Rule("DENY", "*", to="x"), "can not change it"),
        (lambda: Constraint("a", "b", "LIKE"), "condition 'LIKE'"),  # type: ignore[arg-type]
    ],
)
def test_bad_values(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(JSON))
    assert load_source_policy(path) == load_source_policy(str(path)) == load_source_policy(POLICY) == POLICY
    assert load_source_policy(None) is None
    with pytest.raises(ConfigError, match=r"none\.json' can not be read: No such file"):
        load_source_policy(tmp_path / "none.json")
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"not JSON.*in '.*policy\.json'"):
        load_source_policy(path)


@pytest.mark.parametrize(("match", "kept"), [("WILDCARD", "${0}"), ("REGEX", "${0}"), ("EXACT", "")])
def test_attributes_alone_keep_the_source(match: Match, kept: str) -> None:
    """The daemon would take the pattern for the new source: ``https://example.com/*``, literally."""
    rule = Rule.convert("https://example.com/.*", attrs={"http.checksum": "sha256:x"}, match=match)
    policy = policy_pb2.Policy.FromString(SourcePolicy((rule,)).encode())
    assert policy.rules[0].updates.identifier == kept
