"""The nodes that a graph begins with; see ``tests.support.llbjson``."""

from __future__ import annotations

import base64
import json

from pybuildkit import llb
from tests.support.llbnodes import Call, Nodes, Params


class FakeResolver:
    """Answers for one image node with a configuration, and keeps what it was asked."""

    def __init__(self, asked: list[dict[str, str]], answer: llb.ResolvedImage | None, error: str) -> None:
        self.asked = asked
        self.answer = answer
        self.error = error

    def resolve(self, query: llb.ImageQuery, /) -> llb.ResolvedImage:
        self.asked.append({"ref": query.ref, "platform": str(query.platform), "mode": query.resolve_mode})
        if self.answer is None:
            raise RuntimeError(self.error)
        return self.answer


class SourceNodes(Nodes):
    """Images, repositories, folders, definitions."""

    def make_scratch(self, call: Call) -> llb.State:
        return llb.scratch()

    def make_image(self, call: Call) -> llb.State:
        options = call.given(
            resolve_mode="resolve", internal="internal", layer_limit="layer_limit", checksum="checksum"
        )
        config, error = call.take("config"), call.take("resolve_error", "")
        ref, digest = call.take("resolved_ref", ""), call.take("resolved_digest", "")
        if config is not None or error:
            answer = None if error else llb.ResolvedImage(json.dumps(config).encode(), digest, ref)
            options["resolver"] = FakeResolver(self.asked, answer, error)
        options |= call.given(pin="resolve_digest")
        return llb.image(call.take("ref"), user=False, **options, **self._constraints(call))

    def _file_options(self, call: Call) -> Params:
        return call.given(filename="filename", mode="perm", uid="uid", gid="gid")

    def make_image_blob(self, call: Call) -> llb.State:
        return llb.image_blob(call.take("ref"), **self._file_options(call), **self._constraints(call))

    def make_oci_layout_blob(self, call: Call) -> llb.State:
        options = self._file_options(call) | call.given(session="session", store="store")
        return llb.oci_layout_blob(call.take("ref"), **options, **self._constraints(call))

    def make_oci_layout(self, call: Call) -> llb.State:
        options = call.given(session="session", store="store", layer_limit="layer_limit", checksum="checksum")
        return llb.oci_layout(call.take("ref"), **options, **self._constraints(call))

    def make_git(self, call: Call) -> llb.State:
        options = call.given(
            subdir="subdir", keep_git_dir="keep_git_dir", mtime="mtime", checksum="checksum", fetch_by_commit="fetch_by_commit",
            auth_token_secret="auth_token", auth_header_secret="auth_header", known_hosts="known_hosts", ssh="ssh_socket",
            checkout_bundle="checkout_bundle",
        )  # fmt: skip
        options["submodules"] = not call.take("skip_submodules", False)
        if (bundle := call.take("bundle")) is not None:
            options["bundle"] = bundle["locator"]
            options |= {f"bundle_{key}": bundle[key] for key in ("session", "store") if key in bundle}
        fragment = call.take("fragment", "")
        ref = call.take("ref", fragment)
        return llb.git(call.take("url"), ref, **options, **self._constraints(call))

    def make_http(self, call: Call) -> llb.State:
        options = self._file_options(call) | call.given(checksum="checksum", auth_header_secret="auth_header")
        if (header := call.take("header")) is not None:
            options |= header or {"accept": ""}
        if (signature := call.take("signature")) is not None:
            options["signature"] = (signature.get("key", ""), signature.get("signature", ""))
        return llb.http(call.take("url"), **options, **self._constraints(call))

    def make_local(self, call: Call) -> llb.State:
        options = call.given(
            name="name", include="include", exclude="exclude", follow_paths="follow", shared_key_hint="hint", differ="differ",
            differ_required="differ_required", session="session",
        )  # fmt: skip
        if (metadata_only := call.take("metadata_only")) is not None:
            options["metadata_only"] = metadata_only or True
        constraints = dict(call.take("constraints", {}))
        options |= {"unique_id": constraints.pop("unique")} if "unique" in constraints else {}
        if "name" in constraints:  # here it is the folder's
            description = constraints.get("description", {}) | {"llb.customname": constraints.pop("name")}
            constraints["description"] = description
        return llb.local(**options, **self._options(constraints))

    def make_source(self, call: Call) -> llb.State:
        return llb.source(call.take("id"), call.take("attrs"), **self._constraints(call))

    def make_definition(self, call: Call) -> llb.State:
        if "bytes" in call.left:
            return llb.definition(base64.b64decode(call.take("bytes")))
        options: Params = {"platform": "linux/amd64", "unique_id": "uid0"} | self._constraints(call)
        state = self.states[call.take("of")]
        assert isinstance(state, llb.State)
        return llb.definition(state.marshal(source_map=False, **options).to_bytes())
