"""The options of a Dockerfile build for who calls the frontend from inside a gateway build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pybuildkit.errors import ConfigError

if TYPE_CHECKING:
    from pybuildkit.dockerfile.request import FrontendRequest
    from pybuildkit.options import Context

__all__ = ["split_options"]


def split_options(context: Context, options: Mapping[str, Any]) -> tuple[FrontendRequest, dict[str, Any]]:
    """What the frontend is told, and what ``gateway()`` takes. Blocks on a few stats.

    Args:
        context: as for ``build()``.
        options: as for ``build()``.

    Returns:
        The request, whose attributes are for ``gateway.solve()``, and options with all that the build may ask for.

    Raises:
        ConfigError: an option can not work, or names an image, which is up to whoever finishes the build.
    """
    from pybuildkit.dockerfile.request import dockerfile_request
    from pybuildkit.planning import DOCKERFILE_KEYS

    for_frontends = (*DOCKERFILE_KEYS, "no_cache")
    given = {key: options[key] for key in for_frontends if options.get(key) not in (None, "")}
    request = dockerfile_request(context, **given)
    if request.names:
        raise ConfigError(
            "tags= does not go with a gateway build; name the image in outputs=, as Image('app:1')"
        )
    others = {key: value for key, value in options.items() if key not in for_frontends}
    others["locals"] = {**request.locals, **(others.get("locals") or {})}
    if request.oci_layouts:
        others["oci_layouts"] = {**request.oci_layouts, **(others.get("oci_layouts") or {})}
    if request.entitlements:
        others["entitlements"] = [*(others.get("entitlements") or ()), *request.entitlements]
    if request.wants_ssh and not others.get("ssh") and not others.get("session"):
        others["ssh"] = True
    return request, others
