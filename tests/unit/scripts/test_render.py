from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2 as pb

from scripts.wire.render import RenderError, render

F = pb.FieldDescriptorProto


def field(name: str, number: int, kind: F.Type.ValueType, **more: object) -> F:
    more.setdefault("label", F.LABEL_OPTIONAL)
    return F(name=name, number=number, type=kind, **more)  # type: ignore[arg-type]


def file(**parts: object) -> pb.FileDescriptorProto:
    return pb.FileDescriptorProto(name="x.proto", package="a.b", syntax="proto3", **parts)  # type: ignore[arg-type]


def body(message: pb.DescriptorProto) -> str:
    """The text of one message, without the file's head."""
    return render(file(message_type=[message])).partition("package a.b;\n\n")[2]


def test_an_empty_file_is_syntax_and_package() -> None:
    assert render(file()) == 'syntax = "proto3";\n\npackage a.b;\n'


def test_the_comment_stands_on_top_and_imports_are_sorted() -> None:
    text = render(file(dependency=["z.proto", "a.proto"]), "one\n\ntwo")
    assert text == (
        '// one\n//\n// two\n\nsyntax = "proto3";\n\npackage a.b;\n\nimport "a.proto";\nimport "z.proto";\n'
    )


def test_scalars_labels_and_options() -> None:
    message = pb.DescriptorProto(
        name="M",
        field=[
            field("plain", 1, F.TYPE_STRING),
            field("many", 2, F.TYPE_INT64, label=F.LABEL_REPEATED, options=pb.FieldOptions(packed=False)),
            field("old", 3, F.TYPE_BYTES, options=pb.FieldOptions(deprecated=True)),
            field("snake_case", 4, F.TYPE_BOOL, json_name="snakeCase"),
            field("named", 5, F.TYPE_SFIXED32, json_name="other"),
            field("maybe", 6, F.TYPE_DOUBLE, proto3_optional=True, oneof_index=0),
        ],
        oneof_decl=[pb.OneofDescriptorProto(name="_maybe")],
    )
    assert body(message) == (
        "message M {\n"
        "  string plain = 1;\n"
        "  repeated int64 many = 2 [packed = false];\n"
        "  bytes old = 3 [deprecated = true];\n"
        "  bool snake_case = 4;\n"
        '  sfixed32 named = 5 [json_name = "other"];\n'
        "  optional double maybe = 6;\n"
        "}\n"
    )


def test_maps_and_types_inside_and_outside_the_package() -> None:
    entry = pb.DescriptorProto(
        name="ByNameEntry",
        field=[
            field("key", 1, F.TYPE_STRING),
            field("value", 2, F.TYPE_MESSAGE, type_name=".a.b.M"),
        ],
        options=pb.MessageOptions(map_entry=True),
    )
    message = pb.DescriptorProto(
        name="M",
        nested_type=[entry],
        field=[
            field("by_name", 1, F.TYPE_MESSAGE, label=F.LABEL_REPEATED, type_name=".a.b.M.ByNameEntry"),
            field("list", 2, F.TYPE_MESSAGE, label=F.LABEL_REPEATED, type_name=".a.b.M"),
            field("when", 3, F.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp"),
            field("kind", 4, F.TYPE_ENUM, type_name=".a.bc.Kind"),
        ],
    )
    assert body(message) == (
        "message M {\n"
        "  map<string, M> by_name = 1;\n"
        "  repeated M list = 2;\n"
        "  google.protobuf.Timestamp when = 3;\n"
        "  a.bc.Kind kind = 4;\n"
        "}\n"
    )


def test_oneofs_nested_types_and_reserved() -> None:
    message = pb.DescriptorProto(
        name="M",
        nested_type=[pb.DescriptorProto(name="Inner", options=pb.MessageOptions(deprecated=True))],
        enum_type=[
            pb.EnumDescriptorProto(name="E", value=[pb.EnumValueDescriptorProto(name="ZERO", number=0)])
        ],
        field=[
            field("first", 1, F.TYPE_INT32),
            field("left", 2, F.TYPE_MESSAGE, type_name=".a.b.M.Inner", oneof_index=0),
            field("right", 3, F.TYPE_ENUM, type_name=".a.b.M.E", oneof_index=0),
        ],
        oneof_decl=[pb.OneofDescriptorProto(name="side")],
        reserved_range=[
            pb.DescriptorProto.ReservedRange(start=4, end=5),
            pb.DescriptorProto.ReservedRange(start=7, end=10),
        ],
        reserved_name=["gone"],
    )
    assert body(message) == (
        "message M {\n"
        "  enum E {\n    ZERO = 0;\n  }\n\n"
        "  message Inner {\n    option deprecated = true;\n  }\n\n"
        '  reserved 4, 7 to 9;\n  reserved "gone";\n'
        "  int32 first = 1;\n"
        "  oneof side {\n    M.Inner left = 2;\n    M.E right = 3;\n  }\n"
        "}\n"
    )


def test_services_and_enums() -> None:
    text = render(
        file(
            enum_type=[
                pb.EnumDescriptorProto(
                    name="E",
                    value=[
                        pb.EnumValueDescriptorProto(name="A", number=0),
                        pb.EnumValueDescriptorProto(
                            name="B", number=-1, options=pb.EnumValueOptions(deprecated=True)
                        ),
                    ],
                    options=pb.EnumOptions(allow_alias=True),
                    reserved_range=[pb.EnumDescriptorProto.EnumReservedRange(start=2, end=3)],
                )
            ],
            service=[
                pb.ServiceDescriptorProto(
                    name="S",
                    method=[
                        pb.MethodDescriptorProto(name="One", input_type=".a.b.M", output_type=".c.N"),
                        pb.MethodDescriptorProto(
                            name="Two",
                            input_type=".a.b.M",
                            output_type=".a.b.M",
                            client_streaming=True,
                            server_streaming=True,
                            options=pb.MethodOptions(deprecated=True),
                        ),
                    ],
                )
            ],
        )
    )
    assert text.partition("package a.b;\n\n")[2] == (
        "service S {\n"
        "  rpc One(M) returns (c.N);\n"
        "  rpc Two(stream M) returns (stream M) {\n    option deprecated = true;\n  }\n"
        "}\n\n"
        "enum E {\n"
        "  option allow_alias = true;\n"
        "  reserved 2 to 3;\n"
        "  A = 0;\n"
        "  B = -1 [deprecated = true];\n"
        "}\n"
    )


@pytest.mark.parametrize(
    "described",
    [
        pb.FileDescriptorProto(name="x.proto", package="a.b"),
        file(options=pb.FileOptions(go_package="x")),
        file(extension=[field("e", 1, F.TYPE_INT32, extendee=".a.b.M")]),
        file(message_type=[pb.DescriptorProto(name="M", field=[field("g", 1, F.TYPE_GROUP)])]),
        file(
            message_type=[
                pb.DescriptorProto(name="M", field=[field("d", 1, F.TYPE_INT32, default_value="3")])
            ]
        ),
        file(
            message_type=[
                pb.DescriptorProto(
                    name="M",
                    field=[field("o", 1, F.TYPE_STRING, options=pb.FieldOptions(ctype=pb.FieldOptions.CORD))],
                )
            ]
        ),
    ],
    ids=["proto2", "file option", "extension", "group", "default", "unknown option"],
)
def test_what_is_not_known_is_refused_and_not_lost(described: pb.FileDescriptorProto) -> None:
    with pytest.raises(RenderError):
        render(described)
