"""The methods of a state that change its settings and leave its files as they are (L21 to L30)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pybuildkit.errors import DefinitionError
from pybuildkit.llb import values
from pybuildkit.llb._encode import check_text
from pybuildkit.llb._env import encode_items
from pybuildkit.llb.imageconfig import ImageConfig
from pybuildkit.llb.mounts import Mount
from pybuildkit.llb.nodes import LazyValues
from pybuildkit.llb.options import as_platform
from pybuildkit.llb.values import Config, Network, Security, UlimitName, Values
from pybuildkit.platforms import PlatformLike

if TYPE_CHECKING:
    from pybuildkit.llb.resolve import ImageResolver
    from pybuildkit.llb.state import State

__all__ = ["Configure"]


class Configure(Mount):
    """What ``State`` inherits."""

    __slots__ = ()

    settings: Values | LazyValues

    def _change(self, kind: str, value: Any) -> State:
        raise NotImplementedError

    def _change_all(self, changes: Iterable[tuple[str, Any]]) -> State:
        raise NotImplementedError

    def env(self, variables: Mapping[str, str] | None = None, /, **more: str) -> State:
        """Set environment variables for the commands to come. One that is set again moves to the end (L24).

        Raises:
            DefinitionError: a name or a value can not be one.
        """
        if variables is None:
            return self._change("env", encode_items(more))
        if not isinstance(variables, Mapping):
            raise DefinitionError(
                f"environment {variables!r} is a {type(variables).__name__}, give a dict of str"
            )
        return self._change("env", encode_items({**variables, **more}))

    def dir(self, path: str) -> State:
        """Set the working directory; a relative one starts at the one before (L25)."""
        return self._change("dir", check_text(path, "directory", empty=True))

    def user(self, name: str) -> State:
        """Set the user: a name, an id, or either with a group, as ``app:app``."""
        return self._change("user", check_text(name, "user", empty=True))

    def hostname(self, name: str) -> State:
        """Set the host name that commands see."""
        return self._change("hostname", check_text(name, "hostname", empty=True))

    def platform(self, platform: PlatformLike) -> State:
        """Set the platform of the commands to come, normalised (L27)."""
        return self._change("platform", as_platform(platform).normalized())

    def network(self, mode: Network) -> State:
        """Set how commands reach the network: ``sandbox``, ``none``, ``host``; that needs an entitlement."""
        return self._change("network", values.check_network(mode))

    def security(self, mode: Security) -> State:
        """Set what commands may do: ``sandbox``, or ``insecure``, which needs an entitlement."""
        return self._change("security", values.check_security(mode))

    def extra_host(self, host: str, address: object) -> State:
        """Add a line to the ``/etc/hosts`` of commands (L29)."""
        return self._change("hosts", (values.check_host(host, address),))

    def ulimit(self, name: UlimitName, soft: int, hard: int | None = None) -> State:
        """Add a limit for processes (L29); ``hard`` is ``soft`` when not given, -1 is unlimited."""
        return self._change("ulimits", (values.check_ulimit(name, soft, hard),))

    def cgroup_parent(self, path: str) -> State:
        """Set the cgroup in which the containers of commands are made."""
        return self._change("cgroup_parent", check_text(path, "cgroup parent", empty=True))

    def image_config(
        self, config: ImageConfig | bytes | str | Mapping[str, Any], *, user: bool = True
    ) -> State:
        """Apply an image's configuration: environment, directory, platform and user (L21).

        Args:
            config: the configuration, parsed, or as JSON.
            user: whether the image's user is taken too. Go's client never takes it: give False for its bytes.

        Raises:
            DefinitionError: it is no image configuration.
        """
        parsed = config if isinstance(config, ImageConfig) else ImageConfig.parse(config)
        return self._change_all(parsed.changes(user=user))

    def with_value(self, key: Any, value: Any) -> State:
        """Attach a value of your own, for ``value``; it is not part of the graph (L19)."""
        return self._change("custom", {key: value})

    def value(self, key: Any, default: Any = None) -> Any:
        """A value from ``with_value``, of this state or one that it was made from."""
        settings: Any = self.settings
        while isinstance(settings, LazyValues):
            if settings.kind == "custom" and key in settings.value:
                return settings.value[key]
            settings = settings.base
        return settings.more.custom.get(key, default) if isinstance(settings, Values) else default

    def config(self, *, resolver: ImageResolver | None = None) -> Config:
        """The settings, for reading.

        Args:
            resolver: looks up the configuration of images, when the state builds on one with
                ``resolve=True``.

        Raises:
            DefinitionError: it builds on such an image, and there is no resolver.
        """
        from pybuildkit.llb.marshal import Marshaler

        return Marshaler(resolver=resolver).values(self.settings).config()
