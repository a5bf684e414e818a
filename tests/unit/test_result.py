"""What a build gives back (V47, V49)."""

from __future__ import annotations

import base64
import json

from pybuildkit.result import Result

DESCRIPTOR = {"mediaType": "m", "digest": f"sha256:{'0' * 64}", "size": 7, "platform": {"os": "linux"}}
ENCODED = base64.b64encode(json.dumps(DESCRIPTOR).encode()).decode()


def test_the_named_values() -> None:
    result = Result(
        "ref",
        {
            "containerimage.digest": "sha256:a",
            "containerimage.config.digest": "sha256:b",
            "containerimage.descriptor": ENCODED,
            "image.name": "one:1,two:2",
        },
    )
    assert (result.digest, result.config_digest) == ("sha256:a", "sha256:b")
    assert result.image_names == ("one:1", "two:2")
    assert result.descriptor is not None
    assert (result.descriptor.media_type, result.descriptor.size) == ("m", 7)
    assert result.descriptor.to_json()["platform"] == {"os": "linux"}


def test_a_build_without_an_image() -> None:
    result = Result("ref")
    assert (result.digest, result.config_digest, result.descriptor, result.image_names) == (
        None,
        None,
        None,
        (),
    )


def test_the_metadata_document_unfolds_encoded_objects_only() -> None:
    """V49: objects that are not empty; all else stays a text."""
    empty = base64.b64encode(b"{}").decode()
    number = base64.b64encode(b"1234").decode()
    document = Result(
        "r", {"a": ENCODED, "b": "text", "c": empty, "d": number, "e": "AAA="}
    ).metadata_document()
    assert document == {"a": DESCRIPTOR, "b": "text", "c": empty, "d": number, "e": "AAA="}
