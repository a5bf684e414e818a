"""Docker's configuration, read as docker's tools read it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.errors import ConfigError
from pybuildkit.registry import Credentials, DockerConfig
from pybuildkit.registry.auth import AuthBroker, RegistryAuth
from tests.support.goprograms import program

HUB = "https://index.docker.io/v1/"


def auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def config(folder: Path, document: dict[str, Any] | str, **environ: str) -> DockerConfig:
    folder.mkdir(exist_ok=True)
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "config.json").write_text(text, errors="surrogateescape")
    return DockerConfig(environ={"DOCKER_CONFIG": str(folder), "PATH": str(folder / "bin"), **environ})


def helper(folder: Path, name: str, script: str) -> None:
    """A credential helper; the shell is named, the PATH has nothing else."""
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    path = folder / "bin" / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


ENTRIES: dict[str, Any] = {
    HUB: {"auth": auth("hub", "pw:with:colons")},
    "a.test": {"auth": auth("a", "pw"), "identitytoken": "identity"},
    "https://b.test/v2/": {"auth": auth("b", "pw")},
    "c.test:5000": {"username": "c", "password": "plain"},
    "d.test": {"auth": auth("d", "pw\0\0"), "username": "other", "password": "other"},
    "e.test": {"registrytoken": "finished"},
    "f.test": {},
    "UPPER.test": {"auth": auth("upper", "pw")},
}
HOSTS = ["registry-1.docker.io", "a.test", "b.test", "c.test:5000", "d.test", "f.test", "g.test"]


async def test_entries(tmp_path: Path) -> None:
    """S68, S75, S77: each kind, with the hub under its own name and others under any spelling."""
    source = config(tmp_path, {"auths": ENTRIES})
    found = {host: await source.lookup(host) for host in (*HOSTS, "e.test", "upper.test")}
    assert found == {
        "registry-1.docker.io": Credentials("hub", "pw:with:colons"),
        "a.test": Credentials("a", "pw", identity_token="identity"),
        "b.test": Credentials("b", "pw"),
        "c.test:5000": Credentials("c", "plain"),
        "d.test": Credentials("d", "pw"),
        "e.test": Credentials(registry_token="finished"),
        "f.test": None,
        "g.test": None,
        "upper.test": Credentials("upper", "pw"),
    }


async def test_as_go_reads_them(tmp_path: Path) -> None:
    """S68, S77: the same answers as Go's clients give, from entries, helpers and the variable."""
    oracle = program("authoracle")
    folder = tmp_path / "docker"
    helper(
        folder, "store", 'read -r s; echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"identity of $s\\"}"'
    )
    helper(
        folder,
        "own",
        'read -r s; echo "{\\"ServerURL\\":\\"$s\\",\\"Username\\":\\"u\\",\\"Secret\\":\\"of $s\\"}"',
    )
    helper(folder, "none", 'echo "credentials not found in native keychain"; exit 1')
    variable = json.dumps(
        {"auths": {"env.test": {"auth": auth("env", "pw")}, "a.test": {"auth": auth("first", "pw")}}}
    )
    documents: list[dict[str, Any]] = [
        {"auths": ENTRIES},
        {"auths": ENTRIES, "credsStore": "store"},
        {"auths": ENTRIES, "credHelpers": {"a.test": "own", "c.test:5000": "none", HUB: "own", "b.test": ""}},
        {"AUTHS": {"a.test": {"Auth": auth("A", "B"), "IdentityToken": ""}}},
        {},
    ]
    hosts = [*HOSTS, "env.test"]
    for document in documents:
        for environ in ({}, {"DOCKER_AUTH_CONFIG": variable}):
            source = config(folder, document, **environ)
            done = subprocess.run(  # noqa: ASYNC221
                [str(oracle)],
                input=json.dumps({"hosts": hosts}).encode(),
                env={
                    "DOCKER_CONFIG": str(folder),
                    "PATH": str(folder / "bin"),
                    "HOME": str(tmp_path),
                    **environ,
                },
                capture_output=True,
                check=True,
            )
            theirs = {
                host: (answer.get("username", ""), answer.get("secret", ""))
                for host, answer in json.loads(done.stdout).items()
            }
            ours = {host: ((await source.lookup(host)) or Credentials()).login for host in hosts}
            assert ours == theirs, (document, environ)


async def test_a_helper_keeps_a_finished_token(tmp_path: Path) -> None:
    """S77: what no helper can hold stays in the file."""
    helper(tmp_path, "own", 'echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"s\\"}"')
    source = config(tmp_path, {"auths": {"a.test": {"registrytoken": "t"}}, "credsStore": "own"})
    assert await source.lookup("a.test") == Credentials("u", "s", registry_token="t")


async def test_a_store_that_is_just_there(tmp_path: Path) -> None:
    """S77: where nothing is set up, docker stores in what the system has, if its helper is installed."""
    helper(tmp_path, "secretservice", 'echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"s\\"}"')
    assert await config(tmp_path, {}).lookup("a.test") == Credentials("u", "s")
    assert await config(tmp_path, {"auths": {"b.test": {}}}).lookup("a.test") is None


async def test_no_file_is_no_credentials(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert await DockerConfig(folder, environ={"PATH": ""}).lookup("a.test") is None
    assert await config(tmp_path, "").lookup("a.test") is None


async def test_a_change_is_seen(tmp_path: Path) -> None:
    source = config(tmp_path, {})
    assert await source.lookup("a.test") is None
    config(tmp_path, {"auths": {"a.test": {"auth": auth("a", "b")}}})
    assert await source.lookup("a.test") == Credentials("a", "b")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_somebody_elses_home(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As with docker, the build goes on; a line in the log says why it may not go far."""
    source = config(tmp_path, {"auths": {"a.test": {"auth": auth("a", "b")}}})
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        assert await source.lookup("a.test") is None
    finally:
        os.seteuid(0)
    assert "can not be read" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"auths": {"a.test": {"auth": "hunter2"}}', r"config.json is not JSON \(line 1\)"),
        ("[]", "config.json is not a JSON object"),
        ("\udcff", "config.json is not UTF-8"),
        ('{"auths": []}', ""),
        ('{"auths": ["hunter2"]}', "auths must be an object"),
        ('{"auths": {"a.test": "hunter2"}}', "the entry of a.test must be an object"),
        ('{"auths": {"a.test": {"auth": "hunter2"}}}', "auth of a.test is not base64 of user:password"),
        ('{"auths": {"a.test": {"auth": "aHVudGVyMg=="}}}', "auth of a.test is not base64 of user:password"),
        ('{"auths": {"a.test": {"auth": ["hunter2"]}}}', "auth of a.test must be a string"),
        ('{"auths": {"a.test": {}}, "credsStore": ["hunter2"]}', "helper of a.test must be a string"),
    ],
)
async def test_a_broken_file(tmp_path: Path, text: str, message: str) -> None:
    """The error names the file and the entry, never the secret."""
    source = config(tmp_path, text)
    if not message:
        assert await source.lookup("a.test") is None
        return
    with pytest.raises(ConfigError, match=message) as caught:
        await source.lookup("a.test")
    assert "hunter2" not in str(caught.value)
    assert "aHVudGVyMg" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_a_broken_entry_is_no_matter_for_other_hosts(tmp_path: Path) -> None:
    """Go gives up the whole file."""
    source = config(tmp_path, {"auths": {"a.test": {"auth": "!"}, "b.test": {"auth": auth("b", "pw")}}})
    assert await source.lookup("b.test") == Credentials("b", "pw")


@pytest.mark.parametrize("text", ["{", '{"auths": {"a.test": {"auth": "hunter2"}}}'])
async def test_a_broken_variable(tmp_path: Path, text: str) -> None:
    """S77: Go prints a line and goes on without; here it is an error."""
    with pytest.raises(ConfigError, match=r"\$DOCKER_AUTH_CONFIG") as caught:
        await config(tmp_path, {}, DOCKER_AUTH_CONFIG=text).lookup("a.test")
    assert "hunter2" not in str(caught.value)


async def test_the_variable_may_have_more(tmp_path: Path) -> None:
    """GitLab's has credHelpers too; Go refuses the whole of it then."""
    text = json.dumps({"auths": {"a.test": {"auth": auth("a", "b")}}, "credHelpers": {"b.test": "x"}})
    assert await config(tmp_path, {}, DOCKER_AUTH_CONFIG=text).lookup("a.test") == Credentials("a", "b")


async def test_kept_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S76: four minutes and fifty seconds, so that clouds' five-minute tokens are never sent dead."""
    helper(tmp_path, "own", f'echo x >> {tmp_path}/calls; echo \'{{"Username":"u","Secret":"s"}}\'')
    broker = AuthBroker(RegistryAuth(config(tmp_path, {"credsStore": "own"})))
    now = 1000.0
    monkeypatch.setattr("pybuildkit.registry.auth.time.monotonic", lambda: now)
    for step, calls in ((0, 1), (289, 1), (2, 2), (1, 2)):
        now += step
        assert await broker.credentials("a.test") == Credentials("u", "s")
        assert (tmp_path / "calls").read_text().count("x") == calls
