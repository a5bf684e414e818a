"""Graphs: what a build does, as values.

A ``State`` is a file system that some operations yield. Sources begin one, methods go on from it, and nothing
happens before a client solves it::

    from pybuildkit import llb

    base = llb.image("alpine").env(LANG="C.UTF-8").dir("/src")
    built = base.run("make", mounts={"/src": llb.local("."), "/root/.cache": llb.cache("make")})
    result = llb.scratch().copy(built, "/usr/local/bin/app", "/")

The ops are byte for byte those of Go's ``client/llb``: the same digests, the same caches. Everything here is
pure: no network, no daemon, and no file is read except the Python files that made a graph, for the lines that
errors show.
"""

from __future__ import annotations

from pybuildkit.llb._frames import set_frame_capture
from pybuildkit.llb.caps import KNOWN_CAPABILITIES, Capability, CapSet
from pybuildkit.llb.combine import Passthrough, PassthroughInput, build, diff, merge, passthrough
from pybuildkit.llb.definitions import Definition, LocalSource
from pybuildkit.llb.dumping import dump
from pybuildkit.llb.files import FileAction, FileResult, copy, mkdir, mkfile, rm, symlink
from pybuildkit.llb.gitrepo import GitSignature, git
from pybuildkit.llb.imageconfig import ImageConfig
from pybuildkit.llb.load import definition
from pybuildkit.llb.localdir import local
from pybuildkit.llb.metadata import OpMetadata, ProgressGroup, Resources
from pybuildkit.llb.mounts import (
    BindMount,
    CacheMount,
    Device,
    Mount,
    ProxyEnv,
    SecretMount,
    SSHMount,
    TmpfsMount,
    cache,
    secret,
    ssh,
    tmpfs,
)
from pybuildkit.llb.options import OpOptions, PlatformOptions
from pybuildkit.llb.resolve import AsyncImageResolver, ImageQuery, ImageResolver, ResolvedImage, StaticImages
from pybuildkit.llb.sourcemap import Position, Range, SourceLocation, SourceMap
from pybuildkit.llb.sources import http, image, image_blob, oci_layout, oci_layout_blob, source
from pybuildkit.llb.state import Run, State, scratch
from pybuildkit.llb.values import Config
from pybuildkit.llb.words import shlex

__all__ = [
    "KNOWN_CAPABILITIES",
    "AsyncImageResolver",
    "BindMount",
    "CacheMount",
    "CapSet",
    "Capability",
    "Config",
    "Definition",
    "Device",
    "FileAction",
    "FileResult",
    "GitSignature",
    "ImageConfig",
    "ImageQuery",
    "ImageResolver",
    "LocalSource",
    "Mount",
    "OpMetadata",
    "OpOptions",
    "Passthrough",
    "PassthroughInput",
    "PlatformOptions",
    "Position",
    "ProgressGroup",
    "ProxyEnv",
    "Range",
    "ResolvedImage",
    "Resources",
    "Run",
    "SSHMount",
    "SecretMount",
    "SourceLocation",
    "SourceMap",
    "State",
    "StaticImages",
    "TmpfsMount",
    "build",
    "cache",
    "copy",
    "definition",
    "diff",
    "dump",
    "git",
    "http",
    "image",
    "image_blob",
    "local",
    "merge",
    "mkdir",
    "mkfile",
    "oci_layout",
    "oci_layout_blob",
    "passthrough",
    "rm",
    "scratch",
    "secret",
    "set_frame_capture",
    "shlex",
    "source",
    "ssh",
    "symlink",
    "tmpfs",
]
