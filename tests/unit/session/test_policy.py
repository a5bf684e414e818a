"""Checks of sources by a function, asked as the daemon asks."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pybuildkit._pb import gateway_pb2, ops_pb2, policysession_pb2
from pybuildkit.errors import ConfigError
from pybuildkit.platforms import Platform
from pybuildkit.session.calls import Code, Status
from pybuildkit.session.policy import CHECK_POLICY, PolicyService
from pybuildkit.sourcechecks import Allow, AskMore, Convert, Deny, SourceCheck, verifier
from tests.support.fakedaemon import fake_daemon

IMAGE = "docker-image://docker.io/library/alpine:3"


def request(**meta: Any) -> bytes:
    source = ops_pb2.SourceOp(identifier=IMAGE, attrs={"a": "b"})
    return policysession_pb2.CheckPolicyRequest(
        Platform=ops_pb2.Platform(OS="linux", Architecture="arm", Variant="v7"),
        Source=gateway_pb2.ResolveSourceMetaResponse(Source=source, **meta),
    ).SerializeToString()


async def ask(check: Any, asked: bytes | None = None) -> Any:
    async with fake_daemon(PolicyService(verifier(check))) as daemon:
        answer, status = await daemon.unary(CHECK_POLICY, request() if asked is None else asked)
    assert status == Status()
    return policysession_pb2.CheckPolicyResponse.FromString(answer or b"")


async def test_what_is_asked() -> None:
    """S91: the source, its attributes, its platform, and what is known of it."""
    seen: list[SourceCheck] = []
    threads: list[threading.Thread] = []

    def check(asked: SourceCheck) -> Allow:
        seen.append(asked)
        threads.append(threading.current_thread())
        return Allow()

    image = gateway_pb2.ResolveSourceImageResponse(Digest="sha256:abc", Config=b"{}")
    await ask(check)
    await ask(check, request(Image=image))
    assert [(one.identifier, one.attrs, one.platform) for one in seen] == [
        (IMAGE, {"a": "b"}, Platform("linux", "arm", "v7"))
    ] * 2
    assert seen[0].source.image is None
    assert seen[1].source.image is not None
    assert (seen[1].source.image.digest, seen[1].source.image.config) == ("sha256:abc", b"{}")
    assert threads[0] is not threading.main_thread()


async def test_a_coroutine_function_runs_on_the_loop() -> None:
    threads: list[threading.Thread] = []

    async def check(asked: SourceCheck) -> Allow:
        threads.append(threading.current_thread())
        return Allow()

    await ask(check)
    assert threads == [threading.main_thread()]


async def test_allow() -> None:
    """S91: set, although it is the enum's zero."""
    answer = await ask(lambda asked: Allow())
    assert answer.WhichOneof("result") == "decision"
    assert answer.decision.action == 0


async def test_deny() -> None:
    """S91."""
    answer = await ask(lambda asked: Deny("one", "two"))
    assert answer.decision.action == 1
    assert [each.message for each in answer.decision.denyMessages] == ["one", "two"]
    assert repr(Deny("one", "two")) == "Deny('one', 'two')"


async def test_convert() -> None:
    """S91."""
    answer = await ask(lambda asked: Convert("docker-image://x", {"k": "v"}))
    assert answer.decision.action == 2
    assert answer.decision.update.identifier == "docker-image://x"
    assert dict(answer.decision.update.attrs) == {"k": "v"}


async def test_more_is_asked_of_the_same_source() -> None:
    """S91: with the same identifier and attributes, which the daemon compares."""
    answer = await ask(lambda asked: AskMore(config=True, attestations=("https://slsa.dev/provenance/v1",)))
    assert answer.WhichOneof("result") == "request"
    assert answer.request.Source.identifier == IMAGE
    assert dict(answer.request.Source.attrs) == {"a": "b"}
    assert (answer.request.Platform.OS, answer.request.Platform.Variant) == ("linux", "v7")
    assert answer.request.Image.AttestationChain
    assert list(answer.request.Image.ResolveAttestations) == ["https://slsa.dev/provenance/v1"]
    assert not answer.request.Image.NoConfig
    answer = await ask(
        lambda asked: AskMore(git_objects=True, checksum="sha512", platform=Platform("linux", "arm64"))
    )
    assert answer.request.Git.ReturnObject
    assert answer.request.Image.NoConfig
    assert answer.request.HTTP.ChecksumRequest.Algo == 2
    assert answer.request.Platform.Architecture == "arm64"


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (lambda asked: True, "returned bool: return Allow(), Deny(), Convert() or AskMore()"),
        (lambda asked: None, "returned NoneType"),
        (lambda asked: AskMore(checksum="md5"), "checksum algorithm 'md5' does not exist"),
        (lambda asked: asked.attrs["hunter2"], "KeyError"),
    ],
)
async def test_what_fails_denies(check: Any, text: str) -> None:
    service = PolicyService(verifier(check))
    async with fake_daemon(service) as daemon:
        _, status = await daemon.unary(CHECK_POLICY, request())
    assert status.code == Code.UNKNOWN
    assert status.message.startswith("the function that checks sources failed: ")
    assert text in status.message
    assert "hunter2" not in status.message
    assert len(service.failed) == 1
    assert isinstance(service.failed[0], ConfigError | KeyError)


async def test_rubbish() -> None:
    async with fake_daemon(PolicyService(verifier(lambda asked: Allow()))) as daemon:
        _, status = await daemon.unary(CHECK_POLICY, b"\xff")
    assert status.code == Code.UNKNOWN
