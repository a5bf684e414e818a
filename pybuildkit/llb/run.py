"""Making the op of ``state.run`` out of its arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from pybuildkit.errors import DefinitionError
from pybuildkit.llb import values
from pybuildkit.llb._command import NO_PARTS, ExecParts, encode_command
from pybuildkit.llb._encode import check_bool, check_text
from pybuildkit.llb._env import encode_items
from pybuildkit.llb._frames import Frame
from pybuildkit.llb._paths import mount_target
from pybuildkit.llb.exec import ExecNode, bind, bind_root
from pybuildkit.llb.mounts import (
    Device,
    Mount,
    ProxyEnv,
    SecretMount,
    SSHMount,
)
from pybuildkit.llb.nodes import LazyValues
from pybuildkit.llb.options import Constraints
from pybuildkit.llb.values import Network, Security, UlimitName, Values

if TYPE_CHECKING:
    from pybuildkit.llb.state import State

__all__ = ["RunOptions", "make_exec"]

_SECRETS_DIR = "/run/secrets/"


class RunOptions(TypedDict, total=False):
    """Options of ``State.run`` that few commands need.

    Attributes:
        hostname: another host name.
        network: another network mode: ``sandbox``, ``host`` or ``none``.
        security: another security mode: ``sandbox`` or ``insecure``.
        extra_hosts: more host names with their addresses.
        ulimits: more limits: a number, or a pair of soft and hard.
        cgroup_parent: another cgroup.
        proxy: proxies, which are not part of the cache key.
        devices: names of CDI devices.
        valid_exit_codes: exit codes that are no failure, when not only 0.
    """

    hostname: str
    network: Network
    security: Security
    extra_hosts: Mapping[str, object]
    ulimits: Mapping[UlimitName, int | tuple[int, int]]
    cgroup_parent: str
    proxy: ProxyEnv
    devices: Iterable[str | Device]
    valid_exit_codes: Iterable[int]


RUN_OPTIONS = frozenset(RunOptions.__annotations__)


def make_exec(
    state: State,
    command: str | Sequence[str],
    made: Constraints | None,
    frame: Frame | None,
    *,
    mounts: Mapping[str, Mount] | None,
    env: Mapping[str, str | SecretMount] | None,
    cwd: str | None,
    user: str | None,
    secrets: Iterable[str],
    ssh: bool | str | Iterable[str | SSHMount],
    readonly_root: bool,
    shell: Sequence[str],
    **options: Unpack[RunOptions],
) -> ExecNode:
    """The node of a command; the arguments are those of ``State.run``.

    Raises:
        DefinitionError: one of them is bad.
    """
    args = encode_command(command, shell)
    settings = state.settings
    secret_env: dict[str, SecretMount] = {}
    if env:
        settings, secret_env = _add_env(settings, env)
    if cwd is not None:
        settings = settings.change("dir", check_text(cwd, "cwd", empty=True))
    if user is not None:
        settings = settings.change("user", check_text(user, "user", empty=True))
    bound = [bind_root(state, check_bool(readonly_root, "readonly_root"))]
    secret_files: list[tuple[str, SecretMount]] = []
    agents: list[tuple[str, SSHMount]] = []
    if mounts:
        _sort_mounts(mounts, bound, secret_files, agents)
    if secrets:
        secret_files += _secrets(secrets)
    if ssh:
        agents += [("", agent) for agent in _agents(ssh)]
    if len(bound) + len(secret_files) + len(agents) > 1:
        _check_targets([b.target for b in bound], secret_files, agents)
        bound.sort(key=_target)
    parts = NO_PARTS
    if options or secret_env or secret_files or agents:
        settings = _change_settings(settings, options)
        parts = ExecParts()
        parts.add_client_mounts(secret_files, agents)
        parts.add_secret_env(secret_env)
        _add_parts(parts, options)
    return ExecNode(settings, args, bound, parts, made, frame)


def _target(mount: Any) -> str:
    return mount.target  # type: ignore[no-any-return]


def _add_env(
    settings: Values | LazyValues, env: Mapping[str, str | SecretMount]
) -> tuple[Values | LazyValues, dict[str, SecretMount]]:
    if not isinstance(env, Mapping):
        raise DefinitionError(f"environment {env!r} is a {type(env).__name__}, give a dict of str")
    plain: dict[str, str] = {}
    secret: dict[str, SecretMount] = {}
    for name, value in env.items():
        if isinstance(value, SecretMount):
            secret[name] = value
        else:
            plain[name] = value
    return settings.change("env", encode_items(plain)), secret


def _sort_mounts(
    mounts: Mapping[str, Mount],
    bound: list[Any],
    secrets: list[tuple[str, SecretMount]],
    agents: list[tuple[str, SSHMount]],
) -> None:
    """Put each mount where its kind belongs."""
    if not isinstance(mounts, Mapping):
        raise DefinitionError(
            f"mounts {mounts!r} is a {type(mounts).__name__}, give a dict from target to what is mounted"
        )
    for target, mount in mounts.items():
        if isinstance(mount, SecretMount):
            secrets.append((target, mount))
        elif isinstance(mount, SSHMount):
            agents.append((target, mount))
        elif isinstance(mount, Mount):
            bound.append(bind(target, mount))
        else:
            raise DefinitionError(
                f"mount at {target!r} is {mount!r}, a {type(mount).__name__}; give a State, state.mount(...), cache(...), "
                "tmpfs(...), secret(...) or ssh(...)"
            )


def _check_targets(
    bound: list[str], secrets: list[tuple[str, SecretMount]], agents: list[tuple[str, SSHMount]]
) -> None:
    seen: dict[str, str] = {}
    for target in (*bound, *(t for t, _ in secrets), *(t for t, _ in agents if t)):
        path = mount_target(target)[1]
        if path in seen:
            if path == "/":
                raise DefinitionError(
                    f"mount target {target!r} is the root, which is the state that runs the command"
                )
            raise DefinitionError(
                f"mount target {target!r} is the same place as {seen[path]!r}, mount one thing there"
            )
        seen[path] = target


def _secrets(ids: Iterable[str]) -> list[tuple[str, SecretMount]]:
    if isinstance(ids, str):
        raise DefinitionError(f"secrets {ids!r} is one text, give a list of ids")
    made = [SecretMount(one) for one in ids]
    return [(_SECRETS_DIR + mount.id.rpartition("/")[2], mount) for mount in made]


def _agents(ssh: bool | str | Iterable[str | SSHMount]) -> list[SSHMount]:
    if ssh is True:
        return [SSHMount()]
    if isinstance(ssh, str | SSHMount):
        ssh = [ssh]
    try:
        return [agent if isinstance(agent, SSHMount) else SSHMount(agent) for agent in ssh]  # type: ignore[union-attr]
    except TypeError:
        raise DefinitionError(
            f"ssh {ssh!r} is a {type(ssh).__name__}, give True, an id, or a list of ids"
        ) from None


def _change_settings(settings: Values | LazyValues, options: RunOptions) -> Values | LazyValues:
    """The settings with those that the command alone has (L22)."""
    if (hostname := options.get("hostname")) is not None:
        settings = settings.change("hostname", check_text(hostname, "hostname", empty=True))
    if (network := options.get("network")) is not None:
        settings = settings.change("network", values.check_network(network))
    if (security := options.get("security")) is not None:
        settings = settings.change("security", values.check_security(security))
    if hosts := options.get("extra_hosts"):
        settings = settings.change("hosts", tuple(values.check_host(*host) for host in hosts.items()))
    if limits := options.get("ulimits"):
        made = [
            values.check_ulimit(name, *(v if isinstance(v, tuple) else (v, None)))
            for name, v in limits.items()
        ]
        settings = settings.change("ulimits", tuple(made))
    if (cgroup := options.get("cgroup_parent")) is not None:
        settings = settings.change("cgroup_parent", check_text(cgroup, "cgroup parent", empty=True))
    return settings


def _add_parts(parts: ExecParts, options: RunOptions) -> None:
    if (proxy := options.get("proxy")) is not None:
        parts.add_proxy(proxy)
    if (codes := options.get("valid_exit_codes")) is not None:
        parts.add_exit_codes(codes)
    if (devices := options.get("devices")) is not None:
        parts.add_devices(devices)
