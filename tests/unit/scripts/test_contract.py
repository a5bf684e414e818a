from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2 as pb

from scripts.wire.contract import ContractError, fit, require_same

F = pb.FieldDescriptorProto
HINT = b"\xaa\xa6\x1f\x02\x08\x01"  # field 64101, as a Go generator's option looks without its definition


def described() -> list[pb.FileDescriptorProto]:
    op = pb.DescriptorProto(name="Op", nested_type=[pb.DescriptorProto(name="In")])
    op.options.MergeFromString(HINT)
    graph = pb.FileDescriptorProto(
        name="github.com/moby/buildkit/solver/pb/ops.proto",
        package="pb",
        syntax="proto3",
        dependency=["github.com/planetscale/vtprotobuf/vtproto/ext.proto"],
        message_type=[op],
        options=pb.FileOptions(go_package="x"),
    )
    user = pb.FileDescriptorProto(
        name="github.com/moby/buildkit/control.proto",
        package="moby.buildkit.v1",
        syntax="proto3",
        dependency=[graph.name, "google/protobuf/timestamp.proto"],
        message_type=[
            pb.DescriptorProto(
                name="M",
                field=[
                    F(
                        name="in",
                        number=1,
                        type=F.TYPE_MESSAGE,
                        label=F.LABEL_OPTIONAL,
                        type_name=".pb.Op.In",
                    ),
                    F(
                        name="at",
                        number=2,
                        type=F.TYPE_MESSAGE,
                        label=F.LABEL_OPTIONAL,
                        type_name=".google.protobuf.Timestamp",
                    ),
                ],
            )
        ],
        service=[
            pb.ServiceDescriptorProto(
                name="S",
                method=[
                    pb.MethodDescriptorProto(
                        name="Do", input_type=".pb.Op", output_type=".moby.buildkit.v1.M"
                    )
                ],
            )
        ],
    )
    timestamp = pb.FileDescriptorProto(name="google/protobuf/timestamp.proto", package="google.protobuf")
    hints = pb.FileDescriptorProto(
        name="github.com/planetscale/vtprotobuf/vtproto/ext.proto", package="vtproto"
    )
    return [user, graph, timestamp, hints]


def test_generic_packages_go_under_moby_buildkit_with_all_that_refers_to_them() -> None:
    contract = fit(described())
    assert contract.wire_packages == {"moby.buildkit.pb": "pb"}
    assert list(contract.files) == ["control.proto", "ops.proto"]
    user, graph = contract.files.values()
    assert graph.package == "moby.buildkit.pb"
    assert user.package == "moby.buildkit.v1"
    assert [f.type_name for f in user.message_type[0].field] == [
        ".moby.buildkit.pb.Op.In",
        ".google.protobuf.Timestamp",
    ]
    assert user.service[0].method[0].input_type == ".moby.buildkit.pb.Op"
    assert user.service[0].method[0].output_type == ".moby.buildkit.v1.M"


def test_files_are_flat_and_the_go_generators_hints_are_gone() -> None:
    user, graph = fit(described()).files.values()
    assert graph.name == "pybuildkit/_pb/ops.proto"
    assert list(user.dependency) == ["pybuildkit/_pb/ops.proto", "google/protobuf/timestamp.proto"]
    assert list(graph.dependency) == []
    assert not graph.HasField("options")
    assert not graph.message_type[0].HasField("options")


def test_fitting_leaves_what_it_was_given_alone() -> None:
    given = described()
    fit(given)
    assert [g.SerializeToString() for g in given] == [d.SerializeToString() for d in described()]


def test_an_unknown_option_is_an_error() -> None:
    files = described()
    files[0].message_type[0].options.MergeFromString(b"\x92\xa6\x1f\x00")  # field 64098
    with pytest.raises(ContractError, match=r"M has options that are not known here: \[64098\]"):
        fit(files)


def test_two_files_of_one_name_are_an_error() -> None:
    files = described()
    files[1].name = "elsewhere/control.proto"
    with pytest.raises(ContractError, match="same name"):
        fit(files)


def test_a_text_that_means_something_else_is_an_error() -> None:
    files = fit(described()).files
    changed = {name: pb.FileDescriptorProto.FromString(f.SerializeToString()) for name, f in files.items()}
    require_same(files, changed)
    changed["control.proto"].message_type[0].field[0].number = 7
    with pytest.raises(ContractError, match=r"control\.proto was not rendered faithfully"):
        require_same(files, changed)
