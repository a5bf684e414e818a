"""The frontend: from a ``Service`` to an image for each platform."""

from __future__ import annotations

from functools import partial

from pybuildkit import llb
from pybuildkit.errors import BuildError
from pybuildkit.frontend import BaseImage, Gateway, GatewayResult, Inputs, SourceFile, frontend, image_config
from pybuildkit.platforms import Platform

from .language import Item, Service, parse

APT = """\
set -e
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
rm -rf /var/lib/apt/lists/*
"""


@frontend(capabilities=["inputs", "contexts", "gitquerystring"])
async def services(gateway: Gateway) -> GatewayResult:
    """Build the image of a Python service."""
    inputs = Inputs(gateway)
    source = await inputs.main_file("service.yaml", language="YAML")
    service = parse(source)
    context = await inputs.context()
    await warn_of_moving_targets(source, service)
    return await inputs.each_platform(partial(build, inputs, source, service, context))


async def warn_of_moving_targets(source: SourceFile, service: Service) -> None:
    """Packages without a version are other ones tomorrow."""
    for package in service.pip:
        if (
            not package.text.startswith((".", "/", "-"))
            and "=" not in package.text
            and "@" not in package.text
        ):
            await source.warn(f"{package.text} has no version; write {package.text}==VERSION", package.lines)


async def build(
    inputs: Inputs, source: SourceFile, service: Service, context: llb.State, platform: Platform
) -> tuple[llb.State, dict[str, object]]:
    """Build for one platform."""
    base = await base_image(inputs, source, service.base, platform)
    again = inputs.request.runs_again("service")
    state = inputs.request.applied(base.state)
    if service.apt:
        state = state.run(
            ["sh", "-c", APT, "sh", *(package.text for package in service.apt)],
            name="apt " + " ".join(package.text for package in service.apt),
            location=source.location(*(package.lines for package in service.apt)),
            ignore_cache=again,
            **inputs.request.run_options,
        )
    if service.pip:
        packages = [package.text for package in service.pip]
        state = (
            state.dir("/context")
            .run(
                ["python3", "-m", "pip", "install", "--root-user-action=ignore", *packages],
                name="pip " + " ".join(packages),
                mounts={
                    "/context": context.mount(readonly=True),
                    "/root/.cache/pip": llb.cache("pip", sharing="locked"),
                },
                location=source.location(*(package.lines for package in service.pip)),
                ignore_cache=again,
            )
            .dir("/")
        )
    for copy in service.copy:
        state = state.copy(
            context,
            copy.source,
            copy.target,
            contents_only=copy.source.endswith("/"),
            create_dest_path=True,
            name=f"copy {copy.source} {copy.target}",
            location=source.location(copy.lines),
        )
    config = image_config(
        platform,
        base=base.config or None,
        env=service.env,
        working_dir=service.workdir,
        entrypoint=service.entrypoint or None,
        ports=service.ports,
        labels=inputs.request.labels,
    )
    return state, config


async def base_image(inputs: Inputs, source: SourceFile, ref: Item, platform: Platform) -> BaseImage:
    """The image to build on; the line that names it is to blame when there is none."""
    try:
        return await inputs.image(ref.text, platform)
    except (BuildError, ValueError) as exc:
        raise source.error(f"base: {exc}", ref.lines) from exc
