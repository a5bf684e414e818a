"""The hand-written messages, with the generated ones as the measure."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from google.rpc import status_pb2

from pybuildkit._pb import gateway_pb2 as pb
from pybuildkit._wire import ProtoDecodeError
from pybuildkit.control.solve import CacheEntry
from pybuildkit.errors import ConfigError
from pybuildkit.events import Position, Range, SourceInfo
from pybuildkit.gateway import Attestation, GatewayResult, Reference, Subject, _exec
from pybuildkit.gateway import _proto as p
from pybuildkit.gateway._messages import (
    SolveRequest,
    decode_result,
    encode_range,
    encode_return,
    encode_source_info,
)
from pybuildkit.gateway._proto import Message
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.gateway.sources import SourceQuery, decode_source, encode_platform
from pybuildkit.llb.mounts import SecretMount
from pybuildkit.platforms import Platform
from tests.unit.gateway.channels import FakeGateway


@pytest.fixture
def bridge() -> Bridge:
    return Bridge(FakeGateway())


def test_solve_requests() -> None:
    """V63."""
    request = SolveRequest(
        definition=b"\x0a\x01x",
        frontend="dockerfile.v0",
        attrs={"b": "2", "a": ""},
        inputs={"base": b"\x0a\x01y"},
        cache_imports=(CacheEntry("registry", {"ref": "r"}),),
        evaluate=True,
        source_policies=(b"\x08\x01",),
    )
    found = pb.SolveRequest.FromString(request.encode())
    assert list(getattr(found.Definition, "def")) == [b"x"]
    assert found.Frontend == "dockerfile.v0"
    assert dict(found.FrontendOpt) == {"a": "", "b": "2"}
    assert list(getattr(found.FrontendInputs["base"], "def")) == [b"y"]
    assert (found.CacheImports[0].Type, dict(found.CacheImports[0].Attrs)) == ("registry", {"ref": "r"})
    assert found.Evaluate
    assert found.allowResultReturn
    assert found.allowResultArrayRef
    assert found.SourcePolicies[0].version == 1
    empty = pb.SolveRequest.FromString(SolveRequest(definition=b"").encode())
    assert empty.HasField("Definition")
    assert not pb.SolveRequest.FromString(SolveRequest(frontend="f").encode()).HasField("Definition")


def decoded(message: pb.SolveResponse, bridge: Bridge) -> GatewayResult:
    return decode_result(Message(message.SerializeToString()), bridge)


def test_results_in_every_form_that_daemons_have_used(bridge: Bridge) -> None:
    """V64."""
    assert decoded(pb.SolveResponse(ref="old"), bridge).ref.id == "old"
    assert decoded(pb.SolveResponse(result=pb.Result(refDeprecated="one")), bridge).ref.id == "one"
    many = pb.Result(refsDeprecated=pb.RefMapDeprecated(refs={"b": "2", "a": "1", "c": ""}))
    assert {
        k: v.id if v else None for k, v in decoded(pb.SolveResponse(result=many), bridge).refs.items()
    } == {
        "a": "1",
        "b": "2",
        "c": None,
    }
    single = pb.Result(ref=pb.Ref(id="r"), metadata={"k": b"\xff"})
    getattr(single.ref, "def").MergeFromString(b"\x0a\x01x")
    result = decoded(pb.SolveResponse(result=single), bridge)
    assert result.ref.id == "r"
    assert result.metadata == {"k": b"\xff"}
    assert decoded(pb.SolveResponse(result=pb.Result(ref=pb.Ref())), bridge).single is None
    assert decoded(pb.SolveResponse(result=pb.Result()), bridge).references == ()
    refs = pb.Result(refs=pb.RefMap(refs={"linux/arm64": pb.Ref(id="2"), "linux/amd64": pb.Ref()}))
    result = decoded(pb.SolveResponse(result=refs), bridge)
    assert list(result.refs) == ["linux/amd64", "linux/arm64"]
    assert result.refs["linux/amd64"] is None


def test_attestations_there_and_back(bridge: Bridge) -> None:
    made = Attestation(
        Reference(bridge, "r1", b""),
        "/p",
        "https://example.test/p",
        subjects=(Subject(kind="self", name="n"), Subject("x", ("sha256:1", "sha512:2"))),
        metadata={"reason": b"sbom"},
    )
    bundle = Attestation(Reference(bridge, "r2", b""), "", kind="bundle")
    result = GatewayResult(
        Reference(bridge, "r", b""), attestations={"linux/amd64": (made, bundle)}, metadata={"k": b"v"}
    )
    request = pb.ReturnRequest.FromString(encode_return(result, b"", bridge))
    assert request.result.ref.id == "r"
    first, second = request.result.attestations["linux/amd64"].attestation
    assert (first.ref.id, first.path, first.inTotoPredicateType) == ("r1", "/p", "https://example.test/p")
    assert dict(first.metadata) == {"reason": b"sbom"}
    assert [(s.kind, s.name, list(s.digest)) for s in first.inTotoSubjects] == [
        (0, "n", []),
        (1, "x", ["sha256:1", "sha512:2"]),
    ]
    assert (second.kind, second.ref.id) == (1, "r2")
    back = decoded(pb.SolveResponse(result=request.result), bridge).attestations["linux/amd64"]
    assert [(a.path, a.predicate_type, a.kind, a.subjects, a.metadata) for a in back] == [
        (a.path, a.predicate_type, a.kind, a.subjects, a.metadata) for a in (made, bundle)
    ]


def test_what_is_returned(bridge: Bridge) -> None:
    """V65: a result is always there, even an empty one; T12's daemon reads it without looking."""
    empty = pb.ReturnRequest.FromString(encode_return(GatewayResult(), b"", bridge))
    assert empty.result.WhichOneof("result") == "ref"
    assert empty.result.ref.id == ""
    refs = {"a": Reference(bridge, "1", b""), "b": None}
    many = pb.ReturnRequest.FromString(encode_return(GatewayResult(refs=refs), b"", bridge))
    assert {k: v.id for k, v in many.result.refs.refs.items()} == {"a": "1", "b": ""}
    status = status_pb2.Status(code=2, message="m").SerializeToString()
    failed = pb.ReturnRequest.FromString(encode_return(None, status, bridge))
    assert (failed.error.code, failed.error.message, failed.HasField("result")) == (2, "m", False)
    other = Bridge(FakeGateway())
    with pytest.raises(ConfigError, match="another gateway build"):
        encode_return(GatewayResult(Reference(other, "x", b"")), b"", bridge)


def test_source_queries() -> None:
    """L17, X20."""
    query = SourceQuery(
        identifier="docker-image://x",
        attrs={"a": "b"},
        platform=Platform("linux", "arm", "v7", "1", ("f", "g")),
        log_name="looking",
        resolve_mode="pull",
        config=False,
        attestations=("p", "q"),
        git_objects=True,
        checksum=("sha512", b"s"),
        source_policies=(b"\x08\x01",),
    )
    found = pb.ResolveSourceMetaRequest.FromString(query.encode())
    assert (found.Source.identifier, dict(found.Source.attrs)) == ("docker-image://x", {"a": "b"})
    platform = found.Platform
    assert (
        platform.OS,
        platform.Architecture,
        platform.Variant,
        platform.OSVersion,
        list(platform.OSFeatures),
    ) == (
        "linux",
        "arm",
        "v7",
        "1",
        ["f", "g"],
    )
    assert (found.LogName, found.ResolveMode) == ("looking", "pull")
    assert (found.Image.NoConfig, found.Image.AttestationChain) == (True, True)
    assert list(found.Image.ResolveAttestations) == ["p", "q"]
    assert found.Git.ReturnObject
    assert (found.HTTP.ChecksumRequest.Algo, found.HTTP.ChecksumRequest.Suffix) == (2, b"s")
    assert found.SourcePolicies[0].version == 1
    plain = pb.ResolveSourceMetaRequest.FromString(SourceQuery(identifier="git://x").encode())
    assert not plain.HasField("Platform")
    assert not plain.HasField("HTTP")
    assert encode_platform(2, None) == b""
    with pytest.raises(ConfigError, match="resolve_mode"):
        SourceQuery(identifier="x", resolve_mode="never")  # type: ignore[arg-type]


def test_image_config_requests_of_older_daemons() -> None:
    """V67."""
    query = SourceQuery(identifier="docker-image://x", resolve_mode="local", source_policies=(b"\x08\x01",))
    found = pb.ResolveImageConfigRequest.FromString(query.encode_image_config("x"))
    assert (found.Ref, found.ResolveMode, found.ResolverType) == ("x", "local", 0)
    layout = SourceQuery(identifier="oci-layout://x", attrs={"oci.session": "s", "oci.store": "t"})
    found = pb.ResolveImageConfigRequest.FromString(layout.encode_image_config("x"))
    assert (found.ResolverType, found.SessionID, found.StoreID) == (1, "s", "t")


def test_what_is_said_of_sources() -> None:
    response = pb.ResolveSourceMetaResponse()
    response.Source.identifier = "docker-image://y:1"
    response.Source.attrs["k"] = "v"
    response.Image.Digest, response.Image.Config = "sha256:d", b"{}"
    chain = response.Image.AttestationChain
    chain.Root, chain.ImageManifest, chain.AttestationManifest = "r", "i", "a"
    chain.SignatureManifests.append("s")
    blob = chain.Blobs["sha256:b"]
    blob.data = b"data"
    blob.descriptor.media_type, blob.descriptor.digest, blob.descriptor.size = "m", "sha256:b", 4
    blob.descriptor.annotations["x"] = "y"
    response.Git.Checksum, response.Git.Ref, response.Git.CommitChecksum = "c", "refs/x", "cc"
    response.Git.CommitObject, response.Git.TagObject = b"co", b"to"
    response.HTTP.Checksum, response.HTTP.Filename = "sha256:h", "f"
    response.HTTP.LastModified.seconds = 86400
    response.HTTP.ChecksumResponse.Digest, response.HTTP.ChecksumResponse.Suffix = "sha512:x", b"z"
    found = decode_source(Message(response.SerializeToString()))
    assert (found.identifier, found.attrs) == ("docker-image://y:1", {"k": "v"})
    assert found.image is not None
    assert (found.image.ref, found.image.digest, found.image.document()) == ("y:1", "sha256:d", {})
    assert found.image.attestations is not None
    assert found.image.attestations.signature_manifests == ("s",)
    stored = found.image.attestations.blobs["sha256:b"]
    assert (stored.data, stored.descriptor.size, stored.descriptor.annotations) == (b"data", 4, {"x": "y"})
    assert found.git is not None
    assert (found.git.checksum, found.git.commit, found.git.tag_object) == ("c", "cc", b"to")
    assert found.http is not None
    assert found.http.last_modified is not None
    assert found.http.last_modified.isoformat() == "1970-01-02T00:00:00+00:00"
    assert (found.http.checksum, found.http.suffix) == ("sha512:x", b"z")
    bare = decode_source(Message(b""))
    assert (bare.image, bare.git, bare.http) == (None, None, None)


@pytest.mark.parametrize("config", [b"", b"[]", b"{"])
def test_a_configuration_that_is_none(config: bytes) -> None:
    response = pb.ResolveSourceMetaResponse()
    response.Image.Config = config
    image = decode_source(Message(response.SerializeToString())).image
    assert image is not None
    with pytest.raises(ConfigError):
        image.document()


def test_what_goes_to_processes() -> None:
    """V71."""
    init = _exec.Init(
        container="c",
        args=["a", ""],
        env={"K": "v=w"},
        cwd="/w",
        user="u",
        fds=[0, 1, 2],
        tty=True,
        security=1,
        secret_env={"S": SecretMount("id", optional=True)},
    )
    found = pb.ExecMessage.FromString(init.encode("c:1"))
    assert found.ProcessID == "c:1"
    assert found.Init.ContainerID == "c"
    assert list(found.Init.Meta.args) == ["a", ""]
    assert list(found.Init.Meta.env) == ["K=v=w"]
    assert (found.Init.Meta.cwd, found.Init.Meta.user, found.Init.Meta.removeMountStubsRecursive) == (
        "/w",
        "u",
        True,
    )
    assert list(found.Init.Fds) == [0, 1, 2]
    assert (found.Init.Tty, found.Init.Security) == (True, 1)
    secret = found.Init.secretenv[0]
    assert (secret.ID, secret.name, secret.optional) == ("id", "S", True)

    data = pb.ExecMessage.FromString(_exec.encode_data("p", 0, b"x")).File
    assert (data.Fd, data.Data, data.EOF) == (0, b"x", False)
    eof = pb.ExecMessage.FromString(_exec.encode_eof("p", 0))
    assert (eof.WhichOneof("Input"), eof.File.EOF) == ("File", True)
    size = pb.ExecMessage.FromString(_exec.encode_resize("p", 3, 5)).Resize
    assert (size.Rows, size.Cols) == (3, 5)
    assert pb.ExecMessage.FromString(_exec.encode_signal("p", "INT")).Signal.Name == "INT"


def test_what_comes_from_processes() -> None:
    def read(**fields: Any) -> Any:
        return _exec.decode_exec(pb.ExecMessage(ProcessID="p", **fields).SerializeToString())

    assert read(File=pb.FdMessage(Fd=2, Data=b"x", EOF=True)) == _exec.Data(2, b"x", eof=True)
    assert read(Started=pb.StartedMessage()) == _exec.Started()
    assert read(Done=pb.DoneMessage()) == _exec.Done()
    assert read(Exit=pb.ExitMessage()) == _exec.Exit(0)
    assert read(Exit=pb.ExitMessage(Code=3, Error=status_pb2.Status(code=2, message="m"))) == _exec.Exit(
        3, "m"
    )
    assert read(Exit=pb.ExitMessage(Code=0xFFFFFFFF)).code == -1
    assert read() is None


def test_signals() -> None:
    """V73."""
    for given in ("INT", "SIGINT", "sigint", signal.SIGINT):
        assert _exec.signal_name(given) == "INT"
    for given in ("", "NOPE", "SIG", "RTMIN", "9"):
        with pytest.raises(ConfigError, match="does not exist"):
            _exec.signal_name(given)


def test_places_in_files() -> None:
    found = pb.WarnRequest.FromString(
        p.message(6, encode_source_info(SourceInfo("f", b"d", "l", b"\x0a\x01x")))
        + p.message(7, encode_range(Range(Position(1, 2), Position(3, 4))))
    )
    assert (found.info.filename, found.info.data, found.info.language) == ("f", b"d", "l")
    assert list(getattr(found.info.definition, "def")) == [b"x"]
    assert (found.ranges[0].start.line, found.ranges[0].start.character) == (1, 2)
    assert (found.ranges[0].end.line, found.ranges[0].end.character) == (3, 4)


@pytest.mark.parametrize(
    "read",
    [
        lambda m: m.text(1),
        lambda m: m.blob(2),
        lambda m: m.number(3),
        lambda m: m.message(3),
        lambda m: m.text_map(4),
        lambda m: m.texts(1),
    ],
)
def test_fields_of_another_type(read: Any) -> None:
    data = p.blob(1, b"\xff") + p.number(2, 5) + p.blob(3, b"\xff") + p.blob(4, b"\xff\xff")
    with pytest.raises(ProtoDecodeError):
        read(Message(data))


def test_the_last_of_a_field_wins() -> None:
    message = Message(p.text(1, "a") + p.text(1, "b") + p.number(2, 1) + p.number(2, -3) + p.flag(5, True))
    assert message.text(1) == "b"
    assert message.texts(1) == ("a", "b")
    assert message.number(2) == -3
    assert message.flag(5)
    assert 3 not in message
    assert message.text(3) == ""
    assert message.messages(3) == []
