"""Definitions: read back, gone on from, dumped, checked (L14, L20, L89, L90, L92)."""

from __future__ import annotations

import json

import pytest

from pybuildkit import llb
from pybuildkit._pb import ops_pb2
from pybuildkit._wire import field_bytes
from pybuildkit.errors import DefinitionError, Unsupported
from pybuildkit.llb import Capability, CapSet, Definition
from pybuildkit.llb.schema import MESSAGES
from tests.unit.llb.golden import GRAPHS, VECTORS
from tests.unit.llb.reading import marshal, op


def sample() -> llb.State:
    dockerfile = llb.SourceMap("Dockerfile", b"FROM a\n", "Dockerfile")
    image = llb.image("a", name="base", location=dockerfile.location(1), platform="linux/arm64")
    return image.run(["x"], mounts={"/o": llb.local(name="ctx")}).run(["y"], ignore_cache=True)


def test_reads_back() -> None:
    """L89."""
    made = marshal(sample())
    again = Definition.from_bytes(made.to_bytes())
    assert again == made
    assert hash(again) == hash(made)
    assert (again.ops, again.digests, again.head, len(again)) == (made.ops, made.digests, made.head, 4 + 1)
    assert again.metadata == made.metadata
    assert again.files == made.files
    assert again.locations(made.digests[0])[0].ranges == made.locations(made.digests[0])[0].ranges
    assert again.locals.keys() == made.locals.keys() == {"ctx"}
    assert made != "x"
    with pytest.raises(AttributeError, match="never changes"):
        made.ops = ()


def test_random_map_order_reads_the_same() -> None:
    """§3.7 item 8: Go's own files have their maps in any order."""
    made = marshal(sample())
    shuffled = b"".join(field_bytes(1, data) for data in made.ops)
    entries = [
        field_bytes(2, field_bytes(1, d.encode()) + field_bytes(2, made.metadata[d].encode()))
        for d in made.digests
    ]
    assert Definition.from_bytes(shuffled + b"".join(reversed(entries))).metadata == made.metadata


def test_goes_on_as_a_state() -> None:
    """L14: ops, metadata and places are kept; the platform goes on."""
    made = marshal(sample())
    state = llb.definition(made.to_bytes())
    assert marshal(state) == made
    assert str(state.config().platform) == "linux/arm64"
    after = state.run(["z"])
    assert op(after)["platform"]["Architecture"] == "arm64"
    on = marshal(after)
    assert on.ops[: len(made.ops) - 1] == made.ops[:-1]
    assert on.metadata[made.digests[0]].name == "base"
    assert on.metadata[made.head].ignore_cache
    assert on.locations(made.digests[0])[0].source.filename == "Dockerfile"
    assert on.locals.keys() == {"ctx"}
    assert marshal(llb.definition(b"")).ops == ()
    assert llb.definition(made).output is not None


def test_options_of_a_marshal_do_not_change_imported_ops() -> None:
    """L89: verbatim, metadata included."""
    made = marshal(sample())
    again = marshal(llb.definition(made), ignore_cache=True, require="x", platform="linux/s390x")
    assert again.ops == made.ops
    assert not again.metadata[made.digests[0]].ignore_cache


def test_several_outputs() -> None:
    """L14: an imported graph may yield any output of its op."""
    run = llb.image("a").run(["x"], mounts={"/o": llb.scratch()})
    state = llb.definition(marshal(run["/o"]))
    assert marshal(state.mkdir("/y")).ops[-2].startswith(b"\nK\nG")
    both = llb.merge(state, llb.definition(marshal(run)))
    assert len(marshal(both).ops) == 4


def test_imports_share_what_is_the_same() -> None:
    made = marshal(sample())
    merged = llb.merge(llb.definition(made), llb.definition(made).run(["z"]), sample())
    assert len(marshal(merged).ops) == len(made.ops) + 2


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff", "not an LLB definition"),
        (b"\x0a\x05ab", "not an LLB definition"),
        (b"\x08\x01", "not an LLB definition"),
        (b"\x12\x04\x0a\x02\xff\xfe", "not an LLB definition"),
        (b"not a definition at all", "not an LLB definition"),
    ],
)
def test_bytes_that_are_no_definition(data: bytes, why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        Definition.from_bytes(data)


def test_cut_off_definitions() -> None:
    """The last op names the result; inputs are in the definition."""
    ops = marshal(sample()).ops
    with pytest.raises(DefinitionError, match="does not name its result"):
        llb.definition(Definition(ops[:-1][:1]))
    with pytest.raises(DefinitionError, match="which the definition does not have"):
        llb.definition(Definition(ops[1:]))
    with pytest.raises(DefinitionError, match="does not name its result"):
        llb.definition(Definition(ops[:-2] + ops[-1:]))
    negative = field_bytes(
        1, field_bytes(1, marshal(sample()).head.encode()) + b"\x10" + b"\xff" * 9 + b"\x01"
    )
    with pytest.raises(DefinitionError, match="output -1"):
        llb.definition(Definition((*ops[:-1], negative)))


def test_json_is_what_buildctl_prints() -> None:
    """L92: the shape of ``pb.Op.MarshalJSON``; text is escaped as Go does."""
    lines = marshal(llb.image("a").run("echo '<&>'", name="é")).to_json().splitlines()
    assert lines[1].startswith('{"Op":{"inputs":[{"digest":"sha256:')
    assert "echo '\\u003c\\u0026\\u003e'" in lines[1]
    assert (
        '"OpMetadata":{"description":{"llb.customname":"é"},"caps":{"exec.meta.base":true,"exec.mount.bind":true}}}'
        in lines[1]
    )
    assert lines[2].endswith('"caps":{"constraints":true,"meta.description":true,"platform":true}}}')
    assert json.loads(lines[2])["Op"]["Op"] == {}


def test_json_has_what_go_leaves_out() -> None:
    """X23, L92: symlinks, and places."""
    state = llb.scratch().symlink("a", "b")
    (line, _) = state.marshal().to_json().splitlines()
    entry = json.loads(line)
    assert entry["Op"]["Op"]["file"]["actions"][0] == {
        "input": -1, "secondaryInput": -1, "output": 0,
        "Action": {"symlink": {"oldpath": "a", "newpath": "b", "timestamp": -1}},
    }  # fmt: skip
    assert entry["Source"][0]["filename"].endswith("test_definitions.py")


def test_dot() -> None:
    """X23: labels and shapes as Go's, and what is said of an op."""
    source = llb.image("a", name='say "hi"')
    files = llb.mkdir("/d").mkfile("/f").rm("/r").symlink("t", "l").copy(source, "/s", "/t")
    state = llb.merge(
        llb.diff(source, source.file(files)),
        source.run(["make"], mounts={"/src": llb.image("b")}, ignore_cache=True, export_cache=False),
        source.requires("id", llb.image("b")),
    )
    text = marshal(state).to_dot()
    assert text.startswith("digraph {\n")
    assert text.endswith("}\n")
    assert (
        'label="docker-image://docker.io/library/a:latest\\nllb.customname: say \\"hi\\"" shape="ellipse"'
        in text
    )
    assert (
        'label="mkdir{path=/d},mkfile{path=/f},rm{path=/r},symlink{oldpath=t, newpath=l},copy{src=/s, dest=/t}" shape="note"'
        in text
    )
    assert 'label="make\\nignore cache\\nno export cache" shape="box"' in text
    for label, shape in [("merge", "invtriangle"), ("diff", "doublecircle"), ("passthrough id", "plaintext")]:
        assert f'label="{label}" shape="{shape}"' in text
    assert '[label="/src"];' in text


def test_dump() -> None:
    made = marshal(sample())
    assert llb.dump(made.to_bytes()) == made.to_json()
    assert llb.dump(made, dot=True) == made.to_dot()
    with pytest.raises(DefinitionError, match="can not be read"):
        llb.dump(Definition((b"\x12\x02\x0a\x01",)))


@pytest.mark.parametrize("name", [name for name in GRAPHS if "error" not in VECTORS[name]])
def test_golden_graphs_can_be_dumped_and_are_valid(name: str) -> None:
    made = Definition.from_bytes(bytes.fromhex(VECTORS[name].get("definition_deterministic_hex", "")))
    assert made.to_json().count("\n") == len(made)
    assert made.to_dot().count(" -> ") == sum(
        len(json.loads(line)["Op"].get("inputs", ())) for line in made.to_json().splitlines()
    )
    made.validate()


def source_op(identifier: str) -> bytes:
    return field_bytes(3, field_bytes(1, identifier.encode()))


def wrap(*ops: bytes, result: int = 0) -> Definition:
    """Ops that each take the one before as input, and a last op for the result."""
    data: list[bytes] = []
    for one in ops:
        given = field_bytes(1, field_bytes(1, Definition(tuple(data)).digests[-1].encode())) if data else b""
        data.append(given + one)
    index = b"\x10" + bytes([result]) if result else b""
    last = field_bytes(1, field_bytes(1, Definition(tuple(data)).digests[-1].encode()) + index)
    return Definition((*data, last))


IMAGE = source_op("docker-image://a")
ROOT = field_bytes(2, field_bytes(3, b"/"))
META = field_bytes(1, field_bytes(1, b"x") + field_bytes(3, b"/"))
NO_INPUT = b"\x08" + b"\xff" * 9 + b"\x01"


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (Definition((IMAGE,)), "does not name the result"),
        (wrap(source_op("ftp://a")), "has no scheme that the daemon knows"),
        (wrap(IMAGE, source_op("docker-image://b")), "is a source and has inputs"),
        (wrap(IMAGE, field_bytes(2, META)), "has no root"),
        (wrap(IMAGE, field_bytes(2, field_bytes(1, b"") + ROOT)), "has no arguments"),
        (wrap(IMAGE, field_bytes(2, field_bytes(1, b"") + ROOT)), "has no working directory"),
        (wrap(IMAGE, field_bytes(2, META + ROOT + ROOT)), "mounts two things at '/'"),
        (wrap(IMAGE, field_bytes(2, META + field_bytes(2, b"\x08\x05" + field_bytes(3, b"/")))), "takes input 5, there are 1"),
        (wrap(IMAGE, field_bytes(2, META + ROOT), result=3), "needs output 3 of 'x', which has 1"),
        (wrap(IMAGE, result=1), "needs output 1"),
        (wrap(IMAGE, field_bytes(4, b"")), "has no actions"),
        (wrap(IMAGE, field_bytes(4, field_bytes(2, b""))), "does nothing that this library knows"),
        (wrap(IMAGE, field_bytes(4, field_bytes(2, b"\x08\x07"))), "action 0 takes input 7"),
        (wrap(IMAGE, field_bytes(4, field_bytes(2, b"\x18" + b"\xff" * 9 + b"\x01"))), "has no output"),
        (wrap(IMAGE, field_bytes(6, field_bytes(1, b""))), "merges less than two inputs"),
        (wrap(IMAGE, field_bytes(6, field_bytes(1, b"") + field_bytes(1, b"\x08\x09"))), "the merge takes input 9"),
        (wrap(IMAGE, field_bytes(7, field_bytes(1, b""))), "has no upper"),
        (wrap(IMAGE, field_bytes(7, field_bytes(1, b"") + field_bytes(2, b"\x08\x02"))), "the upper takes input 2"),
        (wrap(IMAGE, field_bytes(8, b"")), "has no id"),
        (wrap(IMAGE, field_bytes(8, field_bytes(1, b"i"))), "has no outputs"),
        (wrap(IMAGE, field_bytes(8, field_bytes(1, b"i") + field_bytes(2, NO_INPUT[1:]))), "the pass-through takes input -1"),
        (wrap(IMAGE, field_bytes(15, b"")), "does nothing that this library knows"),
        (Definition(wrap(IMAGE, IMAGE).ops[1:]), "which is not in the definition"),
        (Definition((b"\x12\x02\x0a\x01", *wrap(IMAGE).ops)), "can not be read"),
    ],
)  # fmt: skip
def test_validate_finds(definition: Definition, why: str) -> None:
    """L20, L60: what the daemon would refuse."""
    with pytest.raises(DefinitionError, match=why):
        definition.validate()


def test_validate_names_the_place() -> None:
    made = llb.source("custom://x").marshal()
    with pytest.raises(
        DefinitionError, match=r"custom://x \(.*test_definitions.py:\d+\): source 'custom://x'"
    ):
        made.validate()
    Definition().validate()


def test_validate_with_the_daemon_s_capabilities() -> None:
    """L84, L90."""
    made = marshal(llb.merge(llb.image("a"), llb.image("b")))
    full = ["source.image", "mergeop", "constraints", "platform"]
    made.validate(CapSet(full))
    with pytest.raises(
        DefinitionError, match=r"merge .*: requested experimental feature mergeop .*is not supported"
    ):
        made.validate(CapSet(["source.image", "constraints", "platform"]))
    off = CapSet(
        ["source.image", "constraints", "platform", Capability("mergeop", enabled=False, message="too slow")]
    )
    with pytest.raises(DefinitionError, match="has been disabled on the build server: too slow"):
        made.validate(off)
    unknown = llb.source("docker-image://a", caps=["file.copy.modestring"])
    with pytest.raises(DefinitionError, match=r"unknown API capability file\.copy\.modestring"):
        unknown.validate()


def test_capabilities() -> None:
    """L90, appendix A: 90 ids, two of which fail every build."""
    assert len(llb.KNOWN_CAPABILITIES) == 90
    caps = CapSet(["mergeop", "from.the.future", "file.copy.modestring", Capability("diffop", enabled=False)])
    assert [caps.supports(name) for name in ("mergeop", "diffop", "passthroughop", "from.the.future")] == [
        True, False, False, False,
    ]  # fmt: skip
    assert not caps.supports("file.copy.modestring")
    assert "from.the.future" in caps
    assert "passthroughop" not in caps
    caps.require("mergeop")
    with pytest.raises(Unsupported) as caught:
        caps.require("passthroughop")
    assert caught.value.capability == "passthroughop"
    assert repr(caps) == "<CapSet of 4>"


# Messages whose names are shorter in our tables, and one that three share.
_NAMES = {"FileActionCopy": "Copy", "FileActionMkFile": "MkFile", "FileActionMkDir": "MkDir", "FileActionRm": "Rm",
          "FileActionSymlink": "Symlink", "LowerDiffInput": "MergeInput", "UpperDiffInput": "MergeInput"}  # fmt: skip
_NOT_OPS = {"Definition", "Source", "Locations", "SourceInfo", "Location", "Range", "Position"}


def test_every_field_of_the_wire_contract_has_a_name() -> None:
    """L92: nothing of an op is lost in a dump. ``byId`` is how Go's JSON spells it."""
    messages = ops_pb2.DESCRIPTOR.message_types_by_name
    assert len(messages) > 35
    for name, message in messages.items():
        if name not in _NOT_OPS:
            fields = {field.number: field.name.replace("byID", "byId") for field in message.fields}
            assert {
                number: entry[0] for number, entry in MESSAGES[_NAMES.get(name, name)].items()
            } == fields, name
