"""``docs/credentials.md`` and ``docs/sessions.md``: their examples are Python, and do what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.registry.auth import auth_broker
from pybuildkit.secrets import MAX_SECRET_SIZE, coerce_secrets
from pybuildkit.session.auth import NO_TOKENS_VARIABLE

DOCS = Path(__file__).resolve().parents[3] / "docs"


def examples(page: str, count: int) -> dict[str, Any]:
    """All names that a page's blocks define."""
    namespace: dict[str, Any] = {"__name__": page}
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert len(blocks) == count
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)
    return namespace


class Recorder:
    """A client that keeps what it is asked for."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    async def build(self, path: str, **options: Any) -> None:
        self.options = options


async def test_registries() -> None:
    page = examples("credentials.md", 4)
    client = Recorder()
    await page["from_a_vault"](client, ".")
    broker = auth_broker(client.options["auth"])
    assert (await broker.credentials("one.example")).login == ("ci", "a password")
    assert not await broker.credentials("ghcr.io")
    assert page["ci"].tls["registry.example"].ca == ("/etc/ci/ca.pem",)
    assert f"`{NO_TOKENS_VARIABLE}=1`" in (DOCS / "credentials.md").read_text()


async def test_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    page = examples("credentials.md", 4)
    client = Recorder()
    await page["with_secrets"](client, ".", b"t")
    monkeypatch.setenv("API_KEY", "k")
    found = coerce_secrets(client.options["secrets"])
    assert await found["token"].resolve("token") == b"t"
    assert await found["key"].resolve("key") == b"k"
    assert await found["fresh"].resolve("fresh") == b"a value"
    assert f"{MAX_SECRET_SIZE >> 10} KiB" in (DOCS / "credentials.md").read_text()


async def test_ssh() -> None:
    page = examples("credentials.md", 4)
    client = Recorder()
    await page["several"](client, ".")
    assert repr(client.options["ssh"]["deploy"]) == "SSHAgent(keys=['~/.ssh/deploy'], passphrase=<hidden>)"
    await page["deploy_key"](client, ".", b"k")
    assert client.options["ssh"].keys == (b"k",)


def test_sessions() -> None:
    assert {"all_targets", "context_from_a_stream", "push_by_label", "push_and_sign", "no_root"} <= set(
        examples("sessions.md", 5)
    )
