"""Commands and file actions; see ``tests.support.llbjson``."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pybuildkit import llb
from tests.support.llbnodes import Call, Nodes, Params, Unsupported


class StepNodes(Nodes):
    """Runs with their mounts, and file ops."""

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
