"""Looking up the configuration of images, for states made with ``image(..., resolve=True)`` (L16, L32).

Graphs do no I/O: a resolver given to ``marshal`` does. The client's own asks the daemon; ``StaticImages``
knows what it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError, DefinitionError
from pybuildkit.llb._frames import Frame
from pybuildkit.llb.nodes import Deferred, SourceNode
from pybuildkit.platforms import Platform
from pybuildkit.references import Reference

if TYPE_CHECKING:
    from pybuildkit.llb.marshal import Marshaler
    from pybuildkit.llb.state import State

__all__ = [
    "AsyncImageResolver",
    "ImageQuery",
    "ImageResolver",
    "ResolveMode",
    "ResolvedImage",
    "StaticImages",
]

ResolveMode: TypeAlias = Literal["default", "pull", "local"]


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """A question to a resolver.

    Attributes:
        ref: the normalised reference.
        platform: which of the image's platforms.
        resolve_mode: whether an image in the daemon's own store is good enough (X20).
    """

    ref: str
    platform: Platform
    resolve_mode: ResolveMode = "default"


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """A resolver's answer.

    Attributes:
        config: the image's configuration, as JSON.
        digest: the digest of what the reference named.
        ref: the reference after source policies, empty when it is the asked one.
    """

    config: bytes
    digest: str = ""
    ref: str = ""


class ImageResolver(Protocol):
    """Looks up images, blocking."""

    def resolve(self, query: ImageQuery, /) -> ResolvedImage:
        """Answer one question; errors pass through ``marshal``."""
        ...


class AsyncImageResolver(Protocol):
    """Looks up images, waiting."""

    async def resolve(self, query: ImageQuery, /) -> ResolvedImage:
        """Answer one question; errors pass through ``marshal_async``."""
        ...


class StaticImages:
    """A resolver that knows what it was given.

    Args:
        images: configurations, as JSON or as what JSON gives, by reference, or by reference and platform.

    Raises:
        DefinitionError: a key is no reference.
    """

    def __init__(
        self,
        images: Mapping[str | tuple[str, str], ResolvedImage | bytes | str | Mapping[str, Any]] | None = None,
    ) -> None:
        self._images: dict[tuple[str, str], ResolvedImage] = {}
        for key, value in (images or {}).items():
            ref, platform = key if isinstance(key, tuple) else (key, "")
            name = str(Platform.parse(platform).normalized()) if platform else ""
            self._images[normalize_ref(ref), name] = _as_resolved(value)

    def resolve(self, query: ImageQuery, /) -> ResolvedImage:
        """Answer one question.

        Raises:
            DefinitionError: the image is not known.
        """
        exact = self._images.get((query.ref, str(query.platform.normalized())))
        found = exact or self._images.get((query.ref, ""))
        if found is None:
            raise DefinitionError(f"image {query.ref} for {query.platform} is not known to this resolver")
        return found


class KnownImages:
    """A resolver with the answers of another one."""

    def __init__(self, answers: Mapping[ImageQuery, ResolvedImage]) -> None:
        self._answers = answers

    def resolve(self, query: ImageQuery, /) -> ResolvedImage:
        """Answer one question."""
        return self._answers[query]


class ImageDeferred(Deferred):
    """An image whose configuration is looked up when the graph is marshalled."""

    __slots__ = ("pin", "platform", "ref", "resolve_mode", "resolver", "source", "user")

    def __init__(
        self,
        source: SourceNode,
        ref: Reference,
        platform: Platform | None,
        resolve_mode: ResolveMode,
        *,
        pin: bool,
        user: bool,
        resolver: ImageResolver | None,
        frame: Frame | None,
    ) -> None:
        super().__init__(self._make, frame)
        self.source = source
        self.ref = ref
        self.platform = platform
        self.resolve_mode: ResolveMode = resolve_mode
        self.pin = pin
        self.user = user
        self.resolver = resolver

    def query(self, m: Marshaler) -> ImageQuery:
        """The question to ask."""
        return ImageQuery(str(self.ref), self.platform or m.default_platform, self.resolve_mode)

    def _make(self, m: Marshaler) -> State:
        from pybuildkit.llb.state import State

        resolver = self.resolver or m.resolver
        if resolver is None:
            raise DefinitionError(
                f"image {self.ref} was made with resolve=True: solve it with a client, or marshal it with a resolver"
            )
        answer = resolver.resolve(self.query(m))
        source = self.source
        if self.pin:
            ref = Reference.parse(answer.ref) if answer.ref else self.ref
            ref = ref.with_digest(answer.digest) if answer.digest else ref
            source = source.renamed(f"docker-image://{ref}")
        state = State((source, 0))
        if (own := source.output_platform()) is not None:
            state = state.platform(own)
        return state.image_config(answer.config, user=self.user)

    def label(self) -> str:
        return f"docker-image://{self.ref}"


def normalize_ref(text: str) -> str:
    """A reference in its full form, as ``docker.io/library/busybox:latest`` (L2).

    Raises:
        DefinitionError: it is no image reference.
    """
    return str(parse_ref(text).with_default_tag())


def parse_ref(text: str) -> Reference:
    """An image reference.

    Raises:
        DefinitionError: it is none.
    """
    if not isinstance(text, str):
        raise DefinitionError(f"image reference {text!r} is a {type(text).__name__}, give a str")
    try:
        return Reference.parse(text)
    except ConfigError as exc:
        raise DefinitionError(str(exc)) from exc


async def resolve_all(state: State, resolver: AsyncImageResolver, options: Mapping[str, Any]) -> KnownImages:
    """Ask for all images that a graph waits for, many at once, until a marshal needs no other."""
    from anyio import to_thread

    from pybuildkit._concurrent import run_all
    from pybuildkit.llb.marshal import Marshaler
    from pybuildkit.llb.options import constraints

    made = constraints(options, platform=True, where="marshal")
    answers: dict[ImageQuery, ResolvedImage] = {}

    async def ask(query: ImageQuery) -> None:
        answers[query] = await resolver.resolve(query)

    def missing_now() -> set[ImageQuery]:
        return Marshaler(made, resolver=KnownImages(answers)).queries(state) - answers.keys()

    while missing := await to_thread.run_sync(missing_now):
        await run_all(partial(ask, query) for query in missing)
    return KnownImages(answers)


def _as_resolved(value: ResolvedImage | bytes | str | Mapping[str, Any]) -> ResolvedImage:
    import json

    if isinstance(value, ResolvedImage):
        return value
    if isinstance(value, bytes):
        return ResolvedImage(value)
    return ResolvedImage((value if isinstance(value, str) else json.dumps(value)).encode())
