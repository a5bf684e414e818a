"""The messages of ``ops.proto`` as tables, for reading ops: dumps, checks and imports.

Names are those of the wire's JSON form (L92), so that a dump is what ``buildctl debug dump-llb`` prints.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, TypeAlias

from pybuildkit._wire import ProtoDecodeError, fields, read_varint, signed
from pybuildkit.platforms import Platform

__all__ = ["decode", "decode_op", "decode_platform", "inputs_of", "local_name"]

# A field: its name, its kind, and whether it is repeated. Kinds: i signed, u unsigned, b truth value, s text,
# y bytes, ms and mm map to text and to a message, otherwise the name of a message.
Field: TypeAlias = tuple[str, str, bool]


def _table(text: str) -> dict[int, Field]:
    """``"1 name kind, 2 name kind*"``, with a star for repeated."""
    table = {}
    for entry in text.split(","):
        number, name, kind = entry.split()
        table[int(number)] = (name, kind.rstrip("*"), kind.endswith("*"))
    return table


MESSAGES: dict[str, dict[int, Field]] = {
    name: _table(text)
    for name, text in {
        "Op": "1 inputs Input*, 2 exec ExecOp, 3 source SourceOp, 4 file FileOp, 5 build BuildOp, 6 merge MergeOp, "
        "7 diff DiffOp, 8 passthrough PassthroughOp, 10 platform Platform, 11 constraints WorkerConstraints",
        "Platform": "1 Architecture s, 2 OS s, 3 Variant s, 4 OSVersion s, 5 OSFeatures s*",
        "Input": "1 digest s, 2 index i",
        "ExecOp": "1 meta Meta, 2 mounts Mount*, 3 network i, 4 security i, 5 secretenv SecretEnv*, "
        "6 cdiDevices CDIDevice*",
        "Meta": "1 args s*, 2 env s*, 3 cwd s, 4 user s, 5 proxy_env ProxyEnv, 6 extraHosts HostIP*, 7 hostname s, "
        "9 ulimit Ulimit*, 10 cgroupParent s, 11 removeMountStubsRecursive b, 12 validExitCodes i*",
        "HostIP": "1 Host s, 2 IP s",
        "Ulimit": "1 Name s, 2 Soft i, 3 Hard i",
        "SecretEnv": "1 ID s, 2 name s, 3 optional b",
        "CDIDevice": "1 name s, 2 optional b",
        "ProxyEnv": "1 http_proxy s, 2 https_proxy s, 3 ftp_proxy s, 4 no_proxy s, 5 all_proxy s",
        "Mount": "1 input i, 2 selector s, 3 dest s, 4 output i, 5 readonly b, 6 mountType i, 19 TmpfsOpt TmpfsOpt, "
        "20 cacheOpt CacheOpt, 21 secretOpt SecretOpt, 22 SSHOpt SSHOpt, 23 resultID s, 24 contentCache i",
        "TmpfsOpt": "1 size i",
        "CacheOpt": "1 ID s, 2 sharing i",
        "SecretOpt": "1 ID s, 2 uid u, 3 gid u, 4 mode u, 5 optional b",
        "SSHOpt": "1 ID s, 2 uid u, 3 gid u, 4 mode u, 5 optional b",
        "SourceOp": "1 identifier s, 2 attrs ms",
        "FileOp": "2 actions FileAction*",
        "FileAction": "1 input i, 2 secondaryInput i, 3 output i, 4 copy Copy, 5 mkfile MkFile, 6 mkdir MkDir, 7 rm Rm, "
        "8 symlink Symlink",
        "Copy": "1 src s, 2 dest s, 3 owner ChownOpt, 4 mode i, 5 followSymlink b, 6 dirCopyContents b, "
        "7 attemptUnpackDockerCompatibility b, 8 createDestPath b, 9 allowWildcard b, 10 allowEmptyWildcard b, "
        "11 timestamp i, 12 include_patterns s*, 13 exclude_patterns s*, 14 alwaysReplaceExistingDestPaths b, "
        "15 modeStr s, 16 required_paths s*",
        "MkFile": "1 path s, 2 mode i, 3 data y, 4 owner ChownOpt, 5 timestamp i",
        "MkDir": "1 path s, 2 mode i, 3 makeParents b, 4 owner ChownOpt, 5 timestamp i",
        "Rm": "1 path s, 2 allowNotFound b, 3 allowWildcard b",
        "Symlink": "1 oldpath s, 2 newpath s, 3 owner ChownOpt, 4 timestamp i",
        "ChownOpt": "1 user UserOpt, 2 group UserOpt",
        "UserOpt": "1 byName NamedUserOpt, 2 byId u",
        "NamedUserOpt": "1 name s, 2 input i",
        "BuildOp": "1 builder i, 2 inputs mm, 3 def y, 4 attrs ms",
        "BuildInput": "1 input i",
        "MergeOp": "1 inputs MergeInput*",
        "MergeInput": "1 input i",
        "DiffOp": "1 lower MergeInput, 2 upper MergeInput",
        "PassthroughOp": "1 id s, 2 outputs i*",
        "WorkerConstraints": "1 filter s*",
        "OpMetadata": "1 ignore_cache b, 2 description ms, 4 export_cache ExportCache, 5 caps mb, "
        "6 progress_group ProgressGroup, 7 linux_resources LinuxResources",
        "ExportCache": "1 Value b",
        "ProgressGroup": "1 id s, 2 name s, 3 weak b",
        "LinuxResources": "1 memory i, 2 memorySwap i, 3 cpuShares u, 4 cpuPeriod u, 5 cpuQuota i, 6 cpusetCpus s, "
        "7 cpusetMems s",
    }.items()
}  # fmt: skip

_KINDS = ("exec", "source", "file", "build", "merge", "diff", "passthrough")
_ACTIONS = ("copy", "mkfile", "mkdir", "rm", "symlink")


def decode(message: str, data: bytes) -> dict[str, Any]:
    """A message as JSON has it: fields by name, missing and zero ones left out, bytes as base64.

    Raises:
        ProtoDecodeError: the bytes are not that message.
    """
    table = MESSAGES[message]
    found: dict[int, Any] = {}
    for number, value in fields(data):
        entry = table.get(number)
        if entry is None:
            continue
        _, kind, repeated = entry
        if kind in ("ms", "mm", "mb"):
            key, item = _map_item(kind, value)
            found.setdefault(number, {})[key] = item
        elif repeated and kind == "i" and isinstance(value, bytes):
            found.setdefault(number, []).extend(_packed(value))
        elif repeated:
            found.setdefault(number, []).append(_value(kind, value))
        else:
            found[number] = _value(kind, value)
    return {
        table[number][0]: dict(sorted(value.items())) if table[number][1] in ("ms", "mm", "mb") else value
        for number, value in sorted(found.items())
        if value or isinstance(value, dict)
    }


def decode_op(data: bytes) -> dict[str, Any]:
    """An op, in the shape of ``pb.Op.MarshalJSON``: what it does is below ``Op``."""
    flat = decode("Op", data)
    shaped: dict[str, Any] = {}
    if "inputs" in flat:
        shaped["inputs"] = flat["inputs"]
    shaped["Op"] = {kind: flat[kind] for kind in _KINDS if kind in flat}
    for name in ("platform", "constraints"):
        if name in flat:
            shaped[name] = flat[name]
    return shaped


def inputs_of(op: bytes) -> list[tuple[str, int]]:
    """Digest and output number of an op's inputs."""
    found = []
    for number, value in fields(op):
        if number == 1 and isinstance(value, bytes):
            entry = dict(fields(value))
            digest, index = entry.get(1, b""), entry.get(2, 0)
            if not isinstance(digest, bytes) or not isinstance(index, int):
                raise ProtoDecodeError("an input is not one")
            found.append((digest.decode(), signed(index)))
    return found


def local_name(op: bytes) -> str:
    """The name of the folder that an op takes from the client that solves it, empty for all others.

    One that is bound to a session is taken from that.
    """
    for number, value in fields(op):
        if number == 3 and isinstance(value, bytes):
            source = decode("SourceOp", value)
            identifier = source.get("identifier", "")
            if identifier.startswith("local://") and "local.session" not in source.get("attrs", {}):
                return str(identifier[8:])
    return ""


def decode_platform(op: bytes) -> Platform | None:
    """The platform of an op, None when it has none."""
    for number, value in fields(op):
        if number == 10 and isinstance(value, bytes):
            found = decode("Platform", value)
            return Platform(
                found.get("OS", ""),
                found.get("Architecture", ""),
                found.get("Variant", ""),
                found.get("OSVersion", ""),
                tuple(found.get("OSFeatures", ())),
            )
    return None


def _value(kind: str, value: int | bytes) -> Any:
    if kind in ("i", "u", "b"):
        if not isinstance(value, int):
            raise ProtoDecodeError("a text stands where a number should be")
        return bool(value) if kind == "b" else value if kind == "u" else signed(value)
    if isinstance(value, int):
        raise ProtoDecodeError("a number stands where a message or text should be")
    if kind == "s":
        return value.decode()
    if kind == "y":
        return base64.b64encode(value).decode()
    if kind == "FileAction":
        return _file_action(decode(kind, value))
    if kind == "UserOpt":
        return {"User": decode(kind, value)}
    return decode(kind, value)


def _file_action(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers are always there, and what it does is below ``Action``."""
    shaped: dict[str, Any] = {name: flat.get(name, 0) for name in ("input", "secondaryInput", "output")}
    shaped["Action"] = {kind: flat[kind] for kind in _ACTIONS if kind in flat}
    return shaped


def _map_item(kind: str, value: int | bytes) -> tuple[str, Any]:
    if isinstance(value, int):
        raise ProtoDecodeError("a number stands where a map's entry should be")
    entry = dict(fields(value))
    key, item = entry.get(1, b""), entry.get(2, b"" if kind != "mb" else 0)
    if not isinstance(key, bytes):
        raise ProtoDecodeError("a map's key is a number")
    return key.decode(), _value({"ms": "s", "mb": "b", "mm": "BuildInput"}[kind], item)


def _packed(data: bytes) -> list[int]:
    numbers, pos = [], 0
    while pos < len(data):
        value, pos = read_varint(data, pos, len(data))
        numbers.append(signed(value))
    return numbers
