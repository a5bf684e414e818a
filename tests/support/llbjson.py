"""Builds graphs from the JSON descriptions of ``tools/cmd/llbvectors``, whose documentation tells what is in them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from pybuildkit import llb
from pybuildkit.errors import DefinitionError
from pybuildkit.platforms import Platform

Params = dict[str, Any]


class Unsupported(Exception):
    """The description says something that the Python API has no words for."""


class Call:
    """A node's parameters, taken one by one: what is left at the end was misspelt, or forgotten here."""

    def __init__(self, node: Mapping[str, Any]) -> None:
        self.left = dict(node)

    def take(self, name: str, default: Any = None) -> Any:
        return self.left.pop(name, default)

    def given(self, **names: str) -> Params:
        """Arguments for those parameters that are given: ``given(argument="parameter")``."""
        return {argument: self.left.pop(name) for argument, name in names.items() if name in self.left}

    def finish(self) -> None:
        if self.left:
            raise Unsupported(f"parameters {self.left}")


def platform_of(value: Mapping[str, Any]) -> Platform:
    return Platform(
        value["os"],
        value["architecture"],
        value.get("variant", ""),
        value.get("os_version", ""),
        tuple(value.get("os_features", ())),
    )


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


class Builder:
    """Builds the states of one graph."""

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self.graph = graph
        self.states: list[Any] = []
        self.runs: dict[int, llb.Run] = {}
        self.asked: list[dict[str, str]] = []
        self.maps: list[llb.SourceMap] = []
        self.map_states: dict[int, llb.State] = {}

    # -- the graph -----------------------------------------------------------------------------------------------

    def build(self) -> llb.State:
        for source_map in self.graph.get("maps", ()):
            # The state of a map is a node, and nodes may name the map: so it is one that comes before its users.
            state = source_map.get("state")
            self.maps.append(
                llb.SourceMap(
                    source_map["filename"],
                    source_map.get("data", "").encode(),
                    source_map.get("language", ""),
                    None if state is None else self._early(state),
                )
            )
        for node in self.graph["nodes"][len(self.states) :]:
            self._add(node)
        state = self.states[self.graph.get("out", -1)]
        assert isinstance(state, llb.State)
        return state

    def _early(self, index: int) -> llb.State:
        while len(self.states) <= index:
            self._add(self.graph["nodes"][len(self.states)])
        state = self.states[index]
        assert isinstance(state, llb.State)
        return state

    def marshal(self) -> llb.Definition:
        options: Params = {} if self.graph.get("bare") else {"platform": "linux/amd64", "unique_id": "uid0"}
        marshal = Call(self.graph.get("marshal", {}))
        caps = marshal.take("caps")
        unique = marshal.take("unique")
        state = self.build()
        options |= self._options(marshal.left)
        if unique is not None:
            options["unique_id"] = unique
        if caps is not None:
            options["caps"] = llb.CapSet(caps)
        return state.marshal(source_map=False, **options)

    def _add(self, node: Mapping[str, Any]) -> None:
        call = Call(node)
        make: Callable[[Call], Any] = getattr(self, "make_" + call.take("kind"))
        self.states.append(make(call))
        call.finish()

    def _options(self, value: Mapping[str, Any]) -> Params:
        """Constraints as the keyword arguments of an op."""
        call = Call(value)
        options = call.given(
            ignore_cache="ignore_cache",
            description="description",
            name="name",
            export_cache="export_cache",
            require="require",
        )
        if options.get("export_cache") == "default":
            options["export_cache"] = None
        if "platform" in call.left:
            options["platform"] = platform_of(call.take("platform"))
        if "progress_group" in call.left:
            options["progress_group"] = llb.ProgressGroup(*call.take("progress_group"))
        if "resources" in call.left:
            options["resources"] = llb.Resources(**call.take("resources"))
        if locations := call.take("locations"):
            options["location"] = [self._location(location) for location in locations]
        call.finish()
        return options

    def _location(self, location: Mapping[str, Any]) -> llb.SourceLocation:
        ranges = [llb.Range(llb.Position(r[0], r[1]), llb.Position(r[2], r[3])) for r in location["ranges"]]
        number: int = location["map"]
        return self.maps[number].location(*ranges)

    def _constraints(self, call: Call) -> Params:
        return self._options(call.take("constraints", {}))

    def _op_constraints(self, call: Call) -> Params:
        """Constraints of an op that has no platform: Go takes one and drops it."""
        options = self._constraints(call)
        options.pop("platform", None)
        return options

    def _on(self, call: Call) -> llb.State:
        state = self.states[call.take("on", 0)]
        assert isinstance(state, llb.State)
        return state

    # -- sources -------------------------------------------------------------------------------------------------

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

    # -- settings ------------------------------------------------------------------------------------------------

    def make_env(self, call: Call) -> llb.State:
        return self._on(call).env({call.take("name"): call.take("value")})

    def make_dir(self, call: Call) -> llb.State:
        return self._on(call).dir(call.take("value"))

    def make_user(self, call: Call) -> llb.State:
        return self._on(call).user(call.take("value"))

    def make_hostname(self, call: Call) -> llb.State:
        return self._on(call).hostname(call.take("value"))

    def make_network(self, call: Call) -> llb.State:
        return self._on(call).network(call.take("value"))

    def make_security(self, call: Call) -> llb.State:
        return self._on(call).security(call.take("value"))

    def make_cgroup_parent(self, call: Call) -> llb.State:
        return self._on(call).cgroup_parent(call.take("value"))

    def make_platform(self, call: Call) -> llb.State:
        return self._on(call).platform(platform_of(call.take("platform")))

    def make_extra_host(self, call: Call) -> llb.State:
        return self._on(call).extra_host(call.take("host"), call.take("ip"))

    def make_ulimit(self, call: Call) -> llb.State:
        return self._on(call).ulimit(call.take("name"), call.take("soft"), call.take("hard"))

    def make_reset(self, call: Call) -> llb.State:
        return self._on(call).reset(self.states[call.take("other")])

    def make_requires(self, call: Call) -> llb.State:
        return self._on(call).requires(call.take("id"), *[self.states[i] for i in call.take("deps")])

    def make_image_config(self, call: Call) -> llb.State:
        return self._on(call).image_config(call.take("config"), user=False)

    def make_marshal_defaults(self, call: Call) -> llb.State:
        return self._on(call).with_defaults(**self._constraints(call))

    def make_async(self, call: Call) -> llb.State:
        state, error = self._on(call), call.take("error")
        to = self.states[call.take("to", 0)]

        def later(_: llb.State, __: Platform) -> llb.State:
            if error:
                raise RuntimeError(error)
            assert isinstance(to, llb.State)
            return to

        return state.defer(later)

    # -- commands ------------------------------------------------------------------------------------------------

    def make_run(self, call: Call) -> llb.State:
        state = self._on(call)
        shlex = call.take("shlex")
        command = call.take("args", []) if shlex is None else llb.shlex(shlex)
        options = call.given(
            cwd="dir", user="user", hostname="hostname", network="network", security="security", cgroup_parent="cgroup_parent",
            valid_exit_codes="valid_exit_codes", readonly_root="readonly_root",
        )  # fmt: skip
        env: Params = {}
        for name, value in call.take("env", ()):
            env.pop(name, None)  # assigning again moves it to the end (L24)
            env[name] = value
        if hosts := call.take("extra_hosts"):
            options["extra_hosts"] = dict(hosts)
        if limits := call.take("ulimits"):
            options["ulimits"] = {name: (soft, hard) for name, soft, hard in limits}
        if (proxy := call.take("proxy")) is not None:
            options["proxy"] = llb.ProxyEnv(
                **{("no_proxy" if k == "no" else f"{k}_proxy"): v for k, v in proxy.items()}
            )
        if devices := call.take("devices"):
            options["devices"] = [llb.Device(*device) for device in devices]
        mounts = {mount["target"]: self._mount(mount) for mount in call.take("mounts", ())}
        for secret in call.take("secrets", ()):
            self._secret(secret, mounts, env)
        agents = self._agents(call.take("ssh", []), mounts)
        run = state.run(command, mounts=mounts, env=env, ssh=agents, **options, **self._constraints(call))
        self.runs[len(self.states)] = run
        return run

    def _mount(self, mount: Mapping[str, Any]) -> Any:
        call = Call(mount)
        call.take("target")
        call.take("late")
        source = call.take("source")
        state = None if source is None else self.states[source]
        options = call.given(selector="selector", readonly="readonly", content_cache="content_cache")
        made: Any
        if call.take("tmpfs"):
            if state is not None:
                raise Unsupported("tmpfs has no source")
            made = llb.tmpfs(**call.given(size="size"), **options)
        elif "cache" in call.left:
            made = llb.cache(call.take("cache"), base=state, **call.given(sharing="sharing"), **options)
        else:
            output = not call.take("no_output", False)
            made = (state or llb.scratch()).mount(output=output, **options)
        call.finish()
        return made

    def _secret(self, secret: Mapping[str, Any], mounts: Params, env: Params) -> None:
        call = Call(secret)
        dest, name = call.take("dest"), call.take("env_name")
        if call.take("env", False):
            dest, name = None, dest
        options: Params = {"optional": call.take("optional", False)}
        ident = call.take("id", secret.get("dest"))
        if (file := call.take("file")) is not None:
            options |= dict(zip(("uid", "gid", "mode"), file, strict=True))
        made = llb.secret(ident, **options)
        if dest is None and name is None:
            raise Unsupported("a secret that goes nowhere")
        if dest is not None:
            mounts[dest] = made
        if name is not None:
            env[name] = made
        call.finish()

    def _agents(self, agents: list[Mapping[str, Any]], mounts: Params) -> list[llb.SSHMount]:
        """Agents as mounts; one without a target is what ``ssh=`` is for."""
        out: list[llb.SSHMount] = []
        for number, agent in enumerate(agents):
            call = Call(agent)
            target = call.take("target")
            options: Params = {"optional": call.take("optional", False)}
            if (opt := call.take("opt")) is not None:
                target = opt[0]
                options |= dict(zip(("uid", "gid", "mode"), opt[1:], strict=True))
            made = llb.ssh(call.take("id", ""), **options)
            call.finish()
            if target is None and len(agents) == 1:
                out.append(made)
            else:
                mounts[target or f"/run/buildkit/ssh_agent.{number}"] = made
        return out

    def make_mount(self, call: Call) -> llb.State:
        run, target = self.runs[call.take("of")], call.take("target")
        return run if target == "/" else run[target]

    def make_get_mount(self, call: Call) -> llb.State:
        return self.make_mount(call).reset(llb.scratch())

    # -- files ---------------------------------------------------------------------------------------------------

    def make_file(self, call: Call) -> llb.State:
        state = self._on(call)
        chain = self._chain(call.take("actions"))
        return state.file(chain, **self._op_constraints(call))

    def make_actions(self, call: Call) -> Any:
        state = self._on(call)
        return self._chain(call.take("actions")).on(state)

    def _chain(self, actions: list[Mapping[str, Any]]) -> Any:
        chain: Any = llb
        for action in actions:
            call = Call(action)
            chain = getattr(self, "_do_" + call.take("do"))(chain, call)
            call.finish()
        return chain if actions else None

    def _owned(self, call: Call) -> Params:
        options: Params = {}
        if (user := call.take("user")) is not None:
            options["chown"] = user
        if (ids := call.take("ids")) is not None:
            options["chown"] = tuple(ids)
        if (chown := call.take("chown")) is not None:
            user, group = (self._account(chown.get(half)) for half in ("user", "group"))
            options["chown"] = user if group is None else (user, group)
        return options | call.given(created_time="time")

    def _account(self, account: Mapping[str, Any] | None) -> int | str | None:
        return None if account is None else account.get("name") or account.get("id", 0)

    def _do_mkdir(self, chain: Any, call: Call) -> Any:
        return chain.mkdir(
            call.take("path"), call.take("mode"), **call.given(parents="parents"), **self._owned(call)
        )

    def _do_mkfile(self, chain: Any, call: Call) -> Any:
        data = call.take("data", "").encode()
        if "data_b64" in call.left:
            data = base64.b64decode(call.take("data_b64"))
        return chain.mkfile(call.take("path"), data, call.take("mode"), **self._owned(call))

    def _do_symlink(self, chain: Any, call: Call) -> Any:
        return chain.symlink(call.take("old"), call.take("new"), **self._owned(call))

    def _do_rm(self, chain: Any, call: Call) -> Any:
        options = {name: call.take(name, False) for name in ("allow_not_found", "allow_wildcard")}
        return chain.rm(call.take("path"), **options)

    def _do_copy(self, chain: Any, call: Call) -> Any:
        options = call.given(
            follow_symlinks="follow", contents_only="contents_only", include="include", exclude="exclude",
            required_paths="required", unpack="unpack", create_dest_path="create_dest", allow_empty_wildcard="empty_wildcard",
            replace_existing="replace", mode="mode",
        )  # fmt: skip
        if (text := call.take("mode_str")) is not None:
            if "mode" in options:
                raise Unsupported("two modes")
            options["mode"] = text
        options["allow_wildcard"] = call.take("wildcard", False)
        source = self.states[call.take("from")]
        return chain.copy(source, call.take("src"), call.take("dest"), **options, **self._owned(call))

    # -- combinations --------------------------------------------------------------------------------------------

    def make_merge(self, call: Call) -> llb.State:
        return llb.merge(*[self.states[i] for i in call.take("inputs")], **self._op_constraints(call))

    def make_diff(self, call: Call) -> llb.State:
        return llb.diff(
            self.states[call.take("lower")], self.states[call.take("upper")], **self._op_constraints(call)
        )

    def make_passthrough(self, call: Call) -> llb.State:
        inputs = [llb.PassthroughInput(self.states[i], output=bool(out)) for i, out in call.take("inputs")]
        made = llb.passthrough(call.take("id"), inputs, **self._op_constraints(call))
        return made[call.take("index", 0)]

    def make_llb_build(self, call: Call) -> llb.State:
        return llb.build(self._on(call), **call.given(filename="filename"), **self._constraints(call))


def summary(definition: llb.Definition) -> dict[str, Any]:
    """What ``llbvectors`` says of a definition, as far as it says anything."""
    if not definition:
        return {"definition_sha256": digest_of(definition.to_bytes())}
    return {
        "def_hex": [op.hex() for op in definition.ops],
        "digests": list(definition.digests),
        "head": definition.head,
        "definition_sha256": digest_of(definition.to_bytes()),
    }


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def run(graph: Mapping[str, Any]) -> dict[str, Any]:
    """Build and marshal a graph, as ``llbvectors run`` does; an error is part of the answer."""
    builder = Builder(graph)
    try:
        return summary(builder.marshal())
    except (DefinitionError, RuntimeError) as exc:
        return {"error": str(exc)}
