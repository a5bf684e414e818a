"""Named contexts: what takes the place of an image, or of something else that has a name (V55, V56)."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pybuildkit import llb
from pybuildkit._values import dataclass, field
from pybuildkit.errors import ConfigError, NotFound
from pybuildkit.frontend.context import local_tree
from pybuildkit.frontend.gitcontext import git_context, is_git, without_password
from pybuildkit.fsutil.ignorefile import parse_ignorefile
from pybuildkit.gateway.results import CONFIG_KEY
from pybuildkit.references import Reference as ImageReference

if TYPE_CHECKING:
    from pybuildkit.frontend.request import Request
    from pybuildkit.gateway.gateway import Gateway
    from pybuildkit.gateway.reference import Reference
    from pybuildkit.platforms import Platform

__all__ = ["BaseImage", "load_image", "load_named", "read_patterns"]

IGNORE_FILE = ".dockerignore"

_DEEPEST = 10
"""V56: how often a policy may make another context of a context."""


@dataclass(frozen=True, slots=True)
class BaseImage:
    """Something to build on.

    Attributes:
        state: its files, with the environment, user and directory that its configuration says.
        config: the configuration of the image, empty when it is none.
        digest: of what the reference names, empty when it is no image of a registry.
    """

    state: llb.State
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    digest: str = ""


async def load_named(gateway: Gateway, request: Request, name: str, platform: Platform) -> BaseImage | None:
    """The context of a name, None when the build has none; one for the platform comes before one for all.

    Raises:
        BuildError: it can not be fetched.
        ConfigError: the name is none, or the context can not be.
    """
    plain = ImageReference.parse(name).familiar.removesuffix(":latest")
    for key in (f"{plain}::{platform}", plain):
        source = request.options.get(f"context:{key}")
        if source is not None:
            return await _Loader(gateway, request, plain, key, platform).load(source)
    return None


async def load_image(gateway: Gateway, request: Request, ref: str, platform: Platform) -> BaseImage:
    """An image of a registry, by digest.

    Raises:
        BuildError: the registry refused, or has no such image.
        ConfigError: it is no reference.
    """
    found = await gateway.resolve_image(ref, platform=platform, resolve_mode=request.resolve_mode)
    return _image(found.ref, found.digest, found.document(), platform, request, f"FROM {ref}")


def _image(
    ref: str, digest: str, config: Mapping[str, Any], platform: Platform, request: Request, shown: str
) -> BaseImage:
    named = ImageReference.parse(ref)
    pinned = named if named.digest or not digest else named.with_digest(digest)
    state = llb.image(
        str(pinned), platform=platform, resolve_mode=request.resolve_mode, config=config, name=shown
    )
    return BaseImage(state, config, digest)


@dataclass(frozen=True, slots=True)
class _Loader:
    """Loads one named context.

    Attributes:
        name: of the context.
        key: the same, with a platform if the option has one.
    """

    gateway: Gateway
    request: Request
    name: str
    key: str
    platform: Platform

    async def load(self, source: str, depth: int = 0) -> BaseImage:
        """Load what an option names."""
        if depth > _DEEPEST:
            raise ConfigError(
                f"context {self.key}: {source} leads from one to the next without end; look at the source policies"
            )
        scheme, colon, rest = source.partition(":")
        if is_git(source):
            return BaseImage(git_context(source))
        if scheme == "docker-image":
            return await self._image(rest.removeprefix("//"), depth)
        if scheme in ("http", "https"):
            return BaseImage(llb.http(source, filename="context", name=self._shown(source)))
        if scheme == "oci-layout":
            return await self._layout(rest.removeprefix("//"))
        if scheme == "local":
            return await self._local(rest)
        if scheme == "input":
            return await self._input(rest)
        raise ConfigError(
            f"context {self.key}: {source!r} is not known; write docker-image://, oci-layout://, a URL, local: or input:"
            if colon
            else f"context {self.key}: {source!r} says no kind, as docker-image://{source}"
        )

    def _shown(self, what: str) -> str:
        return f"[context {self.key}] {without_password(what)}"

    async def _image(self, ref: str, depth: int) -> BaseImage:
        if ref == "scratch":
            return BaseImage(llb.scratch())
        named = ImageReference.parse(ref).with_default_tag()
        found = await self.gateway.resolve_source(
            f"docker-image://{named}",
            platform=self.platform,
            resolve_mode=self.request.resolve_mode,
            log_name=self._shown(f"load metadata for {ref}"),
        )
        if found.image is None:  # a source policy made something else of it
            scheme, _, rest = found.identifier.partition("://")
            return await self.load(
                f"{scheme}:{rest}" if scheme in ("local", "input") else found.identifier, depth + 1
            )
        image = found.image
        return _image(
            image.ref, image.digest, image.document(), self.platform, self.request, self._shown(ref)
        )

    async def _layout(self, ref: str) -> BaseImage:
        """An OCI layout of the client, which names it by a store's id and a digest."""
        name, at, digest = ref.rpartition("@")
        if not at or not name:
            raise ConfigError(f"context {self.key}: oci-layout://{ref} has no name, or no digest")
        store = name.rpartition(":")[0] or name
        shown = str(ImageReference.parse(self.name).with_digest(digest))
        found = await self.gateway.resolve_source(
            f"oci-layout://{shown}",
            attrs={"oci.session": self.gateway.session, "oci.store": store},
            platform=self.platform,
            log_name=self._shown(f"load metadata for {shown}"),
        )
        config = found.image.document() if found.image is not None else {}
        state = llb.oci_layout(
            shown,
            session=self.gateway.session,
            store=store,
            platform=self.platform,
            name=self._shown("OCI load from client"),
        )
        return BaseImage(state.image_config(config), config, digest)

    async def _local(self, local: str) -> BaseImage:
        tree = local_tree(
            self.request,
            self.gateway,
            local,
            self._shown(f"load {IGNORE_FILE}"),
            hint=f"context:{self.key}-{IGNORE_FILE}",
            only=(IGNORE_FILE,),
        )
        ignored = await read_patterns((await self.gateway.solve(tree)).ref)
        shared = self.request.options.get(f"sharedkey:localdir:{self.key}", "")
        return BaseImage(
            local_tree(
                self.request,
                self.gateway,
                local,
                self._shown("load from client"),
                hint=f"context:{self.key}-{shared}",
                exclude=ignored or (),
            )
        )

    async def _input(self, name: str) -> BaseImage:
        inputs = await self.gateway.inputs()
        state = inputs.get(name)
        if state is None:
            raise ConfigError(
                f"context {self.key}: there is no input {name!r}, only {', '.join(sorted(inputs)) or 'none at all'}"
            )
        config = self._input_config(name)
        return BaseImage(state.image_config(config) if config else state, config)

    def _input_config(self, name: str) -> Mapping[str, Any]:
        text = self.request.options.get(f"input-metadata:{name}")
        if text is None:
            return {}
        try:
            encoded = json.loads(text).get(CONFIG_KEY)
            config = json.loads(b64decode(encoded)) if encoded else {}
        except (ValueError, AttributeError, TypeError):
            raise ConfigError(
                f"context {self.key}: the metadata of the input {name!r} can not be read"
            ) from None
        return config if isinstance(config, dict) else {}


async def read_patterns(files: Reference, name: str = IGNORE_FILE) -> tuple[str, ...] | None:
    """The patterns of an ignore file, None when there is no file.

    Raises:
        BuildError: the directory can not be read.
        ConfigError: the file can not be read.
    """
    try:
        data = await files.read_file(name)
    except NotFound:
        return None
    return tuple(parse_ignorefile(data))
