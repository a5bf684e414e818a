"""Outputs: attributes, targets, buildctl's text, and what is refused."""

from __future__ import annotations

import dataclasses
import io
import sys
import typing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pybuildkit._attrs import attr_keys
from pybuildkit._output_text import resolve_outputs
from pybuildkit.annotations import AnnotationKey, parse_annotations
from pybuildkit.errors import ConfigError
from pybuildkit.outputs import (
    OCI,
    CacheOnly,
    Docker,
    Image,
    ImageOptions,
    Local,
    Output,
    OutputLike,
    Registry,
    Tar,
)
from pybuildkit.platforms import Platform
from pybuildkit.references import Reference
from pybuildkit.targets import STDOUT, DirectoryTarget, FileTarget, StoreTarget

IMAGE_ATTRS = {
    "compression": ("zstd", "compression", "zstd"),
    "compression_level": (3, "compression-level", "3"),
    "force_compression": (True, "force-compression", "true"),
    "oci_mediatypes": (True, "oci-mediatypes", "true"),
    "oci_artifact": (False, "oci-artifact", "false"),
    "attestation_inline": (True, "attestation-inline", "true"),
    "prefer_nondist_layers": (True, "prefer-nondist-layers", "true"),
    "source_date_epoch": (7, "source-date-epoch", "7"),
    "rewrite_timestamp": (True, "rewrite-timestamp", "true"),
    "push": (True, "push", "true"),
    "push_by_digest": (True, "push-by-digest", "true"),
    "insecure": (True, "registry.insecure", "true"),
    "unpack": (False, "unpack", "false"),
    "store": (True, "store", "true"),
    "dangling_name_prefix": ("x", "dangling-name-prefix", "x"),
    "dangling_name_empty_only": (True, "danging-name-empty-only", "true"),
    "name_canonical": (True, "name-canonical", "true"),
}


def test_every_attribute_of_the_image_exporter_has_a_field() -> None:
    """V41, the daemon's spelling kept."""
    for name, (value, key, text) in IMAGE_ATTRS.items():
        options = typing.cast("ImageOptions", {name: value})
        assert Image("a", **options).exporter_attrs() == {"name": "a", key: text}, name
    assert {key for _, key, _ in IMAGE_ATTRS.values()} == set(attr_keys(Image))


def test_the_typed_options_of_images_are_its_fields() -> None:
    fields = {f.name for f in dataclasses.fields(Image)} - {"type", "dest", "names"}
    assert set(ImageOptions.__annotations__) == fields


def test_image_makes_nothing_here_and_joins_its_names() -> None:
    image = Image("alpine", Reference.parse("ghcr.io/a/b:1"), push=True, attrs={"x-new": "1"})
    assert image.type == image.exporter == "image"
    assert image.target is None
    assert image.exporter_attrs() == {"name": "alpine,ghcr.io/a/b:1", "push": "true", "x-new": "1"}


def test_free_attributes_win() -> None:
    assert Image("a", push=True, attrs={"push": "false", "name": "b"}).exporter_attrs() == {
        "name": "b",
        "push": "false",
    }


def test_registry_is_a_pushed_image() -> None:
    assert Registry("a/b").exporter_attrs() == {"name": "a/b", "push": "true"}
    assert Registry("a/b").exporter == "image"
    with pytest.raises(ConfigError, match="push=False"):
        Registry("a/b", push=False)


def test_unknown_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="pull"):
        Image("a", **typing.cast("ImageOptions", {"pull": True}))


def test_local_and_tar() -> None:
    """V44, V45, S63."""
    local = Local("out", mode="delete", platform_split=False, attestation_prefix="p-", source_date_epoch=0)
    assert local.target == DirectoryTarget(Path("out"), delete=True)
    assert local.exporter_attrs() == {
        "mode": "delete",
        "platform-split": "false",
        "attestation-prefix": "p-",
        "source-date-epoch": "0",
    }
    assert Local("out").target == DirectoryTarget(Path("out"), delete=False)
    buffer = io.BytesIO()
    assert Tar(buffer).target == FileTarget(buffer)


def test_free_mode_of_a_local_output_counts_too() -> None:
    """The daemon trims and lower-cases it, so must whoever decides how to receive."""
    assert Local("out", attrs={"mode": " Delete"}).target.delete


def test_oci_and_docker() -> None:
    """V43."""
    assert OCI("x.tar").exporter_attrs() == {}
    assert OCI("x.tar").target == FileTarget("x.tar")
    assert OCI("x", tar=False, names=("a", "b")).exporter_attrs() == {"tar": "false", "name": "a,b"}
    assert Docker("x", tar=False).target == StoreTarget(Path("x"))
    assert Docker("x").exporter == "docker"


def test_times_need_a_zone() -> None:
    assert Tar("x", source_date_epoch=datetime(1970, 1, 2, tzinfo=UTC)).exporter_attrs() == {
        "source-date-epoch": "86400"
    }
    with pytest.raises(ConfigError, match="without a zone"):
        Tar("x", source_date_epoch=datetime(1970, 1, 2))  # noqa: DTZ001 - the point


def test_annotations() -> None:
    """V42."""
    arm = Platform.parse("linux/arm64")
    image = Image(
        "a",
        annotations={
            "k": "1",
            AnnotationKey("k", "index"): "2",
            AnnotationKey("k", "manifest-descriptor", arm): "3",
        },
    )
    assert image.exporter_attrs() == {
        "name": "a",
        "annotation-manifest.k": "1",
        "annotation-index.k": "2",
        "annotation-manifest-descriptor[linux/arm64].k": "3",
    }
    assert parse_annotations("index,manifest[linux/arm64]:a.b=c=d") == {
        AnnotationKey("a.b", "index"): "c=d",
        AnnotationKey("a.b", "manifest", arm): "c=d",
    }
    assert parse_annotations("a.b=c:d") == {AnnotationKey("a.b"): "c:d"}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: AnnotationKey(""), "empty"),
        (lambda: AnnotationKey("a b"), "blanks"),
        (lambda: AnnotationKey("a", "layer"), "not one of"),  # type: ignore[arg-type]
        (lambda: AnnotationKey("a", "index", Platform("linux", "arm64")), "no platform"),
        (lambda: AnnotationKey("a", platform=Platform.parse("windows(10)/amd64")), "does not read"),
        (lambda: parse_annotations("a"), "no value"),
        (lambda: parse_annotations("layer:a=b"), "not one of"),
    ],
)
def test_bad_annotations(make: typing.Callable[[], object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=local,dest=out", Local("out")),
        ("TYPE=local,DEST=out", Local("out")),
        ("type=local,dest=out,platform-split=1", Local("out", platform_split=True)),
        ('type=local,"dest=a,b"', Local("a,b")),
        ("type=tar,dest=x.tar", Tar("x.tar")),
        ("type=tar,dest=-", Tar(STDOUT)),
        ("type=oci,dest=d,tar=false", OCI("d", tar=False)),
        ("type=docker,dest=d.tar,name=a", Docker("d.tar", names=("a",))),
        ("type=image", Image()),
        ("type=image,name=a,push=true", Image("a", push=True)),
        ('type=image,"name=a,b",push=', Image("a", "b", push=True)),
        ("type=image,name=*", Image("*")),
        ("type=image,annotation.k=v", Image(attrs={"annotation.k": "v"})),
        ("type=registry,name=a", Registry("a")),
        ("type=image,source-date-epoch=", Image(attrs={"source-date-epoch": ""})),
        ("type=moby,name=x", Output("moby", {"name": "x"})),
        ("type=cacheonly", CacheOnly()),
    ],
)
def test_buildctl_text(text: str, expected: Output) -> None:
    """B17."""
    found = Output.parse(text)
    assert type(found) is type(expected)
    assert found.exporter_attrs() == expected.exporter_attrs()
    assert found.target == expected.target
    assert found.exporter == expected.exporter


def test_no_dest_is_stdout_unless_that_is_a_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """B17."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    assert Output.parse("type=oci").target == FileTarget(STDOUT)
    assert STDOUT.open() is sys.stdout.buffer
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(ConfigError, match="console"):
        Output.parse("type=docker")
    assert Output.parse("type=docker,dest=-").target == FileTarget(STDOUT)
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("out", "not key=value"),
        ("dest=out", "has no type"),
        ("type=local", "needs a directory"),
        ("type=oci,tar=false", "needs a directory"),
        ("type=local,output=out", "you meant dest=out"),
        ("type=image,dest=out", "does not go with this type"),
        ("type=moby,dest=out", "'moby' is none of them"),
        ("type=cacheonly,dest=out", "takes nothing else"),
        ("type=oci,dest=x,tar=maybe", "tar='maybe' is not a boolean"),
        ("type=local,dest=x,mode=mirror", "mode='mirror' is not one of copy, delete"),
        ("type=image,name=A", "lower case"),
        ("type=image,compression=lzma", "not one of uncompressed"),
        ("type=image,compression-level=high", "not an integer"),
        ("type=image,compression=gzip,compression-level=10", "between 0 and 9"),
        ("type=image,compression=estargz,oci-mediatypes=false", "needs oci_mediatypes"),
        ("type=image,oci-artifact=true,oci-mediatypes=false", "needs OCI media types"),
        ("type=image,push=perhaps", "push='perhaps' is not a boolean"),
        ("type=tar,dest=x,source-date-epoch=now", "not an integer"),
    ],
)
def test_bad_text_names_the_text_and_the_remedy(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        Output.parse(text)
    assert not text or text in str(caught.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Output(""), "needs a type"),
        (lambda: Output("x", {"a": 1}), "must be a string"),  # type: ignore[dict-item]
        (lambda: Tar(io.StringIO()), "text stream"),  # type: ignore[arg-type]
        (lambda: Tar(""), "empty path"),
        (lambda: Tar(7), "can not be int"),  # type: ignore[arg-type]
        (lambda: Local(""), "needs a directory"),
        (lambda: Local(io.BytesIO()), "needs a directory"),  # type: ignore[arg-type]
        (lambda: OCI(io.BytesIO(), tar=False), "needs a directory"),
        (lambda: Image("a b"), "not an image reference"),
    ],
)
def test_bad_values(make: typing.Callable[[], object], says: str) -> None:
    """V1: the validation matrix."""
    with pytest.raises(ConfigError, match=says):
        make()


class Sender:
    async def send(self, item: bytes, /) -> None: ...


def test_destinations_of_a_stream(tmp_path: Path) -> None:
    """V1: paths, file objects, async streams, functions."""
    with (tmp_path / "x").open("wb") as stream:
        for dest in ("a", tmp_path / "b", stream, io.BytesIO(), Sender(), STDOUT, lambda metadata: None):
            assert Tar(dest).target == FileTarget(dest)


def test_outputs_of_one_build(tmp_path: Path) -> None:
    """C25: their order gives them their numbers; cacheonly has none."""
    given: list[OutputLike] = [
        "type=cacheonly",
        Local(tmp_path / "out"),
        f"type=tar,dest={tmp_path}/x",
        Image(),
    ]
    found = resolve_outputs(given, names=["app:1"])
    assert [o.exporter for o in found] == ["local", "tar", "image"]
    assert found[2].exporter_attrs() == {"name": "app:1"}
    assert resolve_outputs(None) == ()
    assert resolve_outputs("type=image") == (Image(),)


def test_tags_do_not_rename_what_has_a_name() -> None:
    assert Image("a").named("b") == Image("a")
    assert OCI("x").named("b", "c").exporter_attrs() == {"name": "b,c"}
    assert Image(attrs={"name": "a"}).named("b").exporter_attrs() == {"name": "a"}
    assert Local("x").named("b") == Local("x")


def test_conflicts_between_outputs(tmp_path: Path) -> None:
    """S67 and common sense."""
    (tmp_path / "file").write_text("x")
    cases: list[tuple[list[OutputLike], str]] = [
        ([Local(tmp_path / "a"), Local(tmp_path / "a")], "two outputs write to"),
        ([Tar(STDOUT), OCI(STDOUT)], "two outputs write to STDOUT"),
        ([OCI(tmp_path / "a", tar=False), Docker(tmp_path / "b", tar=False)], "one OCI directory"),
        ([Tar(tmp_path)], "is a directory"),
        ([Local(tmp_path / "file")], "is not a directory"),
        ([Image(push=True)], "push needs a name"),
        (["type=image,push=true"], "push needs a name"),
        ([Image(attrs={"push": ""})], "push needs a name"),
    ]
    for outputs, says in cases:
        with pytest.raises(ConfigError, match=says):
            resolve_outputs(outputs)
    assert resolve_outputs([Image(push=False), Image(push=True, dangling_name_prefix="x")])


def test_repr_shows_what_was_given() -> None:
    assert repr(Image("a", push=True)) == "Image('a', push=True)"
    assert repr(Local("out", mode="delete")) == "Local(dest='out', mode='delete')"
    assert repr(CacheOnly()) == "CacheOnly()"


def test_what_a_directory_does_on_this_side() -> None:
    """``atomic`` and ``devices`` are ours, the daemon is not told."""
    output = Local("out", atomic=True, devices="skip")
    assert output.exporter_attrs() == {}
    assert output.target == DirectoryTarget(Path("out"), atomic=True, devices="skip")
    with pytest.raises(ConfigError, match="devices='make'"):
        Local("out", devices="make")  # type: ignore[arg-type]
