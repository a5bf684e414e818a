"""Capability ids as bits: every op records which features of the daemon it needs (L84, appendix A).

A set of ids is an ``int`` here, because sets are joined for every op of a graph; the bytes that go into the
metadata are made once per combination.
"""

from __future__ import annotations

from functools import lru_cache

from pybuildkit._wire import varint

__all__ = ["ALL", "UNINITIALISED", "Cap", "encode", "names"]

# In the order of solver/pb/caps.go. "soruce" is how the daemon spells it.
_IDS = """
source.image source.image.resolvemode source.image.layerlimit source.image.checksum source.local
source.local.unique source.local.sessionid source.local.includepatterns source.local.followpaths
source.local.excludepatterns source.local.sharedkeyhint source.local.differ source.local.metadatatransfer
source.git source.git.keepgitdir source.git.fullurl source.git.httpauth source.git.knownsshhosts
source.git.mountsshsock source.git.subdir source.git.checksum source.git.skipsubmodules
source.git.signatureverify source.git.mtime source.git.fetchbycommit source.git.bundle
source.git.checkoutbundle source.http source.http.auth source.http.checksum source.http.perm
soruce.http.uidgid source.http.header source.http.signatureverify source.imageblob source.ocilayout
source.buildop.llbfilename exec.meta.base exec.meta.cgroup.parent exec.meta.network
exec.meta.network.proxy exec.meta.proxyenv exec.meta.security exec.meta.security.devices.v1
exec.meta.setsdefaultpath exec.meta.ulimit exec.meta.cdi exec.meta.removemountstubs.recursive
exec.meta.linux.resources exec.mount.bind exec.mount.bind.readwrite-nooutput exec.mount.cache
exec.mount.cache.sharing exec.mount.selector exec.mount.tmpfs exec.mount.tmpfs.size exec.mount.secret
exec.mount.ssh exec.mount.cache.content exec.cgroup exec.secretenv exec.validexitcode file.base
file.rm.wildcard file.copy.includeexcludepatterns file.copy.requiredpaths file.rm.nofollowsymlink
file.copy.alwaysreplaceexistingdestpaths file.copy.modestring file.symlink.create constraints platform
meta.ignorecache meta.description meta.exportcache cache.gha cache.s3 cache.azblob mergeop diffop
passthroughop exporter.image.annotations exporter.image.attestations exporter.sourcedateepoch
exporter.multiple exporter.session source.policy source.policy.session gc.freespacefilter history.filter
"""

ALL: tuple[str, ...] = tuple(_IDS.split())

# Ids that the daemon has a name for but never registers: an op that asks for one fails the build.
UNINITIALISED = frozenset({"exec.meta.removemountstubs.recursive", "file.copy.modestring"})

_BIT = {name: 1 << index for index, name in enumerate(ALL)}


class Cap:
    """The bits that constructors record."""

    IMAGE = _BIT["source.image"]
    IMAGE_RESOLVE_MODE = _BIT["source.image.resolvemode"]
    IMAGE_LAYER_LIMIT = _BIT["source.image.layerlimit"]
    IMAGE_CHECKSUM = _BIT["source.image.checksum"]
    LOCAL = _BIT["source.local"]
    LOCAL_UNIQUE = _BIT["source.local.unique"]
    LOCAL_SESSION_ID = _BIT["source.local.sessionid"]
    LOCAL_INCLUDE = _BIT["source.local.includepatterns"]
    LOCAL_FOLLOW_PATHS = _BIT["source.local.followpaths"]
    LOCAL_EXCLUDE = _BIT["source.local.excludepatterns"]
    LOCAL_SHARED_KEY_HINT = _BIT["source.local.sharedkeyhint"]
    LOCAL_DIFFER = _BIT["source.local.differ"]
    LOCAL_METADATA_TRANSFER = _BIT["source.local.metadatatransfer"]
    GIT = _BIT["source.git"]
    GIT_KEEP_DIR = _BIT["source.git.keepgitdir"]
    GIT_FULL_URL = _BIT["source.git.fullurl"]
    GIT_HTTP_AUTH = _BIT["source.git.httpauth"]
    GIT_KNOWN_SSH_HOSTS = _BIT["source.git.knownsshhosts"]
    GIT_MOUNT_SSH_SOCK = _BIT["source.git.mountsshsock"]
    GIT_CHECKSUM = _BIT["source.git.checksum"]
    GIT_SKIP_SUBMODULES = _BIT["source.git.skipsubmodules"]
    GIT_SIGNATURE_VERIFY = _BIT["source.git.signatureverify"]
    GIT_MTIME = _BIT["source.git.mtime"]
    GIT_FETCH_BY_COMMIT = _BIT["source.git.fetchbycommit"]
    GIT_BUNDLE = _BIT["source.git.bundle"]
    GIT_CHECKOUT_BUNDLE = _BIT["source.git.checkoutbundle"]
    HTTP = _BIT["source.http"]
    HTTP_AUTH = _BIT["source.http.auth"]
    HTTP_CHECKSUM = _BIT["source.http.checksum"]
    HTTP_PERM = _BIT["source.http.perm"]
    HTTP_UID_GID = _BIT["soruce.http.uidgid"]
    HTTP_HEADER = _BIT["source.http.header"]
    HTTP_SIGNATURE_VERIFY = _BIT["source.http.signatureverify"]
    IMAGE_BLOB = _BIT["source.imageblob"]
    OCI_LAYOUT = _BIT["source.ocilayout"]
    BUILD_OP_FILENAME = _BIT["source.buildop.llbfilename"]
    EXEC_BASE = _BIT["exec.meta.base"]
    EXEC_NETWORK = _BIT["exec.meta.network"]
    EXEC_PROXY = _BIT["exec.meta.proxyenv"]
    EXEC_SECURITY = _BIT["exec.meta.security"]
    EXEC_SETS_DEFAULT_PATH = _BIT["exec.meta.setsdefaultpath"]
    EXEC_ULIMIT = _BIT["exec.meta.ulimit"]
    EXEC_CDI = _BIT["exec.meta.cdi"]
    EXEC_LINUX_RESOURCES = _BIT["exec.meta.linux.resources"]
    MOUNT_BIND = _BIT["exec.mount.bind"]
    MOUNT_CACHE = _BIT["exec.mount.cache"]
    MOUNT_CACHE_SHARING = _BIT["exec.mount.cache.sharing"]
    MOUNT_SELECTOR = _BIT["exec.mount.selector"]
    MOUNT_TMPFS = _BIT["exec.mount.tmpfs"]
    MOUNT_TMPFS_SIZE = _BIT["exec.mount.tmpfs.size"]
    MOUNT_SECRET = _BIT["exec.mount.secret"]
    MOUNT_SSH = _BIT["exec.mount.ssh"]
    MOUNT_CONTENT_CACHE = _BIT["exec.mount.cache.content"]
    EXEC_SECRET_ENV = _BIT["exec.secretenv"]
    EXEC_VALID_EXIT_CODE = _BIT["exec.validexitcode"]
    FILE_BASE = _BIT["file.base"]
    CONSTRAINTS = _BIT["constraints"]
    PLATFORM = _BIT["platform"]
    META_IGNORE_CACHE = _BIT["meta.ignorecache"]
    META_DESCRIPTION = _BIT["meta.description"]
    META_EXPORT_CACHE = _BIT["meta.exportcache"]
    MERGE_OP = _BIT["mergeop"]
    DIFF_OP = _BIT["diffop"]
    PASSTHROUGH_OP = _BIT["passthroughop"]


def bits(ids: frozenset[str]) -> int:
    """The bits of ids that this library knows; unknown ones raise ``KeyError``."""
    mask = 0
    for name in ids:
        mask |= _BIT[name]
    return mask


@lru_cache(maxsize=1024)
def names(mask: int) -> frozenset[str]:
    """The ids whose bits are set."""
    return frozenset(name for index, name in enumerate(ALL) if mask >> index & 1)


def encode_names(ids: frozenset[str]) -> bytes:
    """The field ``OpMetadata.caps``: a map from every id to true."""
    out = []
    for name in sorted(cap.encode() for cap in ids):
        body = b"\n" + varint(len(name)) + name + b"\x10\x01"
        out.append(b"\x2a" + varint(len(body)) + body)
    return b"".join(out)


@lru_cache(maxsize=1024)
def encode(mask: int) -> bytes:
    """The field ``OpMetadata.caps`` of a set of bits."""
    return encode_names(names(mask))
