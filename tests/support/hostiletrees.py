"""Trees that try to get out of the directory they are sent into.

A conversation is a list of messages, as a hostile daemon may send them: mostly a valid tree, so that it gets far, with
tricks in it: paths that lead up or away, links that lead away and then are used as directories, names twice,
links where directories were, lies about sizes, data that nobody asked for, and broken bytes.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from pybuildkit._wire import field_bytes
from pybuildkit.fsutil import stat as wire
from tests.support.trees import encode

__all__ = ["Arena", "conversation"]

NAMES = ("a", "b", "c", "d", "e", "h", "m", "z", "a-b", "é", "\udcff", " ", "x" * 255)
PERMISSIONS = (0, 0o644, 0o755, 0o777, wire.MODE_SETUID | 0o4777, wire.MODE_STICKY | 0o700)


class Arena:
    """A destination full of traps, and beside it what must not change."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.out = base / "out"
        self.outside = base / "outside"
        (self.outside / "d").mkdir(parents=True)
        (self.outside / "secret").write_bytes(b"secret")
        (self.outside / "secret").chmod(0o640)
        (self.outside / "linked").write_bytes(b"linked")
        (self.outside / "d" / "x").write_bytes(b"x")
        (self.outside / "l").symlink_to("secret")

    def set_traps(self, rng: random.Random) -> None:
        """What a destination may hold before: links that lead away, and a second name of a file outside."""
        self.out.mkdir()
        traps: list[Callable[[Path], object]] = [
            lambda path: path.symlink_to(self.outside),
            lambda path: path.symlink_to("../outside/secret"),
            lambda path: path.symlink_to(self.outside / "new"),
            lambda path: path.hardlink_to(self.outside / "linked"),
            lambda path: path.symlink_to("."),
            lambda path: path.mkdir(),
            lambda path: path.write_bytes(b"old"),
            os.mkfifo,
        ]
        for name in rng.sample(NAMES[:9], rng.randint(0, 5)):
            rng.choice(traps)(self.out / name)
        if (self.out / "d").is_dir() and not (self.out / "d").is_symlink():
            rng.choice(traps)(self.out / "d" / rng.choice(NAMES[:9]))

    def disturb(self, rng: random.Random) -> None:
        """Somebody on this machine renames things in the destination while it is written into."""
        path = self.out / rng.choice(NAMES[:9])
        if rng.random() < 0.3 and not path.is_symlink():
            path = path / rng.choice(NAMES[:9])
        try:
            if os.path.lexists(path):
                path.rename(path.with_name("moved"))
            path.symlink_to(rng.choice((self.outside, self.outside / "secret", self.outside / "new", "..")))
        except OSError:
            pass

    def clear(self) -> None:
        shutil.rmtree(self.out)

    def look(self) -> list[tuple[object, ...]]:
        """All that is outside; also what only a system call that came to nothing would change."""
        found: list[tuple[object, ...]] = [(sorted(set(os.listdir(self.base)) - {"out"}),)]
        found += [(path, sorted(os.listdir(path))) for path in (self.outside, self.outside / "d")]
        for path in (
            self.outside,
            self.outside / "d",
            self.outside / "d" / "x",
            self.outside / "secret",
            self.outside / "l",
        ):
            info = path.lstat()
            found.append(
                (
                    path,
                    info.st_ino,
                    info.st_mode,
                    info.st_uid,
                    info.st_size,
                    info.st_mtime_ns,
                    info.st_ctime_ns,
                )
            )
        # Its second names come and go with the destination; what it is may not change.
        info = (self.outside / "linked").stat()
        found.append((info.st_ino, info.st_mode, info.st_mtime_ns, (self.outside / "linked").read_bytes()))
        found.append(((self.outside / "secret").read_bytes(), os.readlink(self.outside / "l")))
        return found


def conversation(rng: random.Random, outside: Path) -> list[bytes]:
    """One daemon's messages."""
    entries = _valid_tree(rng)
    contents = [rng.randbytes(rng.choice((0, 1, 5, 300))) for _ in entries]
    entries = [
        stat._replace(size=len(content)) if stat.is_regular else stat
        for stat, content in zip(entries, contents, strict=True)
    ]
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        rng.choice(TRICKS)(rng, entries, outside)
    contents += [b"new"] * (len(entries) - len(contents))
    messages = [_stat(rng, stat) for stat in entries]
    data: list[bytes] = [wire.LIST_END]
    for file_id, content in enumerate(contents[: len(entries)]):
        if entries[file_id].is_regular and entries[file_id].size and not entries[file_id].linkname:
            half = rng.randint(0, len(content))
            pieces = [piece for piece in (content[:half], content[half:]) if piece]
            data += [wire.encode_data(file_id, len(piece)) + piece for piece in pieces]
            data.append(wire.encode_data(file_id, 0))
    if rng.random() < 0.3:
        rng.shuffle(data)
    messages += data
    messages.append(wire.FIN)
    for _ in range(rng.choice((0, 0, 1, 2))):
        rng.choice(NOISE)(rng, messages)
    return messages


def _valid_tree(rng: random.Random) -> list[wire.Stat]:
    """Depth first, siblings in order."""
    entries: list[wire.Stat] = []
    files: list[str] = []

    def fill(prefix: str, depth: int) -> None:
        names = rng.sample(NAMES, rng.randint(1, 5))
        for name in sorted(names, key=lambda n: n.encode("utf-8", "surrogateescape")):
            path = prefix + name
            mode = rng.choice(PERMISSIONS)
            mtime = rng.choice((0, 1_600_000_000_000_000_000, -1, 1 << 62))
            kind = rng.random()
            if kind < 0.35 and depth < 3:
                entries.append(wire.Stat(path, wire.MODE_DIR | mode, mtime_ns=mtime))
                fill(path + "/", depth + 1)
            elif kind < 0.5:
                target = rng.choice(("../outside", "/etc", "..", "../../outside/secret", "x"))
                entries.append(wire.Stat(path, wire.MODE_SYMLINK | 0o777, mtime_ns=mtime, linkname=target))
            elif kind < 0.6 and files:
                entries.append(wire.Stat(path, mode, mtime_ns=mtime, linkname=rng.choice(files)))
            elif kind < 0.65:
                entries.append(wire.Stat(path, wire.MODE_FIFO | mode, mtime_ns=mtime))
            else:
                xattrs = {rng.choice(("user.a", "trusted.b", "bad", "")): b"v"} if rng.random() < 0.1 else {}
                entries.append(wire.Stat(path, mode, mtime_ns=mtime, xattrs=xattrs))
                files.append(path)

    fill("", 0)
    return entries


Trick = Callable[[random.Random, list[wire.Stat], Path], None]


def _odd_path(rng: random.Random, outside: Path, path: str) -> str:
    return rng.choice(
        (
            "..",
            ".",
            "",
            "/",
            "../outside/secret",
            "../outside/new",
            f"{outside}/new",
            f"{path}/..",
            f"{path}/../../outside/new",
            f"./{path}",
            f"/{path}",
            f"{path}/",
            f"{path}//x",
            f"{path}/x",
            f"{path}\0",
            path.replace("/", "/../"),
            path.rpartition("/")[0] + "/..",
            "a/b/c/d/e",
            "x/" * 3000 + "y",
            "y" * 300,
        )
    )


def _replace(rng: random.Random, entries: list[wire.Stat], **fields: object) -> None:
    at = rng.randrange(len(entries))
    entries[at] = entries[at]._replace(**fields)  # type: ignore[arg-type]


def _path_that_leads_away(rng: random.Random, entries: list[wire.Stat], outside: Path) -> None:
    at = rng.randrange(len(entries))
    entries[at] = entries[at]._replace(path=_odd_path(rng, outside, entries[at].path))


def _way_out_from_the_start(rng: random.Random, entries: list[wire.Stat], outside: Path) -> None:
    """In order, as nothing comes before them: only what they are can give them away."""
    way = rng.choice(("..", ".", "", "../outside", str(outside), "/", "../outside/d", "a/.."))
    kind = rng.choice((wire.MODE_DIR, wire.MODE_DIR, 0, wire.MODE_SYMLINK))
    entries[:0] = [
        wire.Stat(
            way, kind | 0o755, size=0 if kind else 3, linkname="/" if kind == wire.MODE_SYMLINK else ""
        ),
        wire.Stat(f"{way}/new", 0o644, size=3),
    ]


def _link_that_is_used_as_directory(rng: random.Random, entries: list[wire.Stat], outside: Path) -> None:
    target = rng.choice((str(outside), "../outside", ".", "..", "/"))
    at = rng.randrange(len(entries))
    path = entries[at].path
    entries[at] = wire.Stat(path, wire.MODE_SYMLINK | 0o777, linkname=target)
    entries.insert(at + 1, wire.Stat(f"{path}/new", 0o644))
    if rng.random() < 0.5:
        entries.insert(at + 1, wire.Stat(path, wire.MODE_DIR | 0o755))


def _directory_that_becomes_a_link(rng: random.Random, entries: list[wire.Stat], outside: Path) -> None:
    at = rng.randrange(len(entries))
    path = entries[at].path
    entries[at] = wire.Stat(path, wire.MODE_DIR | 0o777)
    entries.insert(at + 1, wire.Stat(path, wire.MODE_SYMLINK | 0o777, linkname=str(outside)))
    entries.insert(at + 2, wire.Stat(f"{path}/secret", 0o777))


def _hard_link_that_leads_away(rng: random.Random, entries: list[wire.Stat], outside: Path) -> None:
    target = rng.choice(
        (str(outside / "secret"), "../outside/secret", "b/secret", "h", "..", "a/../../outside/secret", "/")
    )
    _replace(rng, entries, mode=rng.choice(PERMISSIONS), linkname=target)


def _any_mode(rng: random.Random, entries: list[wire.Stat], outside: Path) -> None:
    _replace(rng, entries, mode=rng.getrandbits(32))


def _device(rng: random.Random, entries: list[wire.Stat], outside: Path) -> None:
    kind = rng.choice((wire.MODE_DEVICE, wire.MODE_DEVICE | wire.MODE_CHAR_DEVICE, wire.MODE_SOCKET))
    _replace(rng, entries, mode=kind | 0o666, devmajor=rng.choice((1, 8, -1, 1 << 40)), devminor=3)


def _size_that_lies(rng: random.Random, entries: list[wire.Stat], outside: Path) -> None:
    _replace(rng, entries, size=rng.choice((-1, 0, 1, 1 << 62, 200_000)))


def _out_of_order(rng: random.Random, entries: list[wire.Stat], outside: Path) -> None:
    one, two = rng.randrange(len(entries)), rng.randrange(len(entries))
    entries[one], entries[two] = entries[two], entries[one]


def _twice(rng: random.Random, entries: list[wire.Stat], outside: Path) -> None:
    entries.insert(rng.randrange(len(entries)), rng.choice(entries))


TRICKS: tuple[Trick, ...] = (
    _path_that_leads_away,
    _way_out_from_the_start,
    _way_out_from_the_start,
    _link_that_is_used_as_directory,
    _link_that_is_used_as_directory,
    _directory_that_becomes_a_link,
    _hard_link_that_leads_away,
    _hard_link_that_leads_away,
    _any_mode,
    _device,
    _size_that_lies,
    _out_of_order,
    _twice,
)


def _stat(rng: random.Random, stat: wire.Stat) -> bytes:
    message = encode(stat)
    if rng.random() < 0.02:  # the last path counts: a reader that looks at the first is fooled
        message = field_bytes(2, field_bytes(1, b"harmless") + message[message.index(b"\x0a") :])
    return message


def _flip(rng: random.Random, messages: list[bytes]) -> None:
    at = rng.randrange(len(messages))
    if messages[at]:
        broken = bytearray(messages[at])
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        messages[at] = bytes(broken)


def _cut(rng: random.Random, messages: list[bytes]) -> None:
    at = rng.randrange(len(messages))
    messages[at] = messages[at][: rng.randint(0, len(messages[at]))]


def _insert(rng: random.Random, messages: list[bytes]) -> None:
    extra = (
        wire.FIN,
        wire.LIST_END,
        wire.encode_request(0),
        wire.encode_error("x"),
        wire.encode_data(rng.randrange(20), 5) + b"extra",
        wire.encode_data(rng.randrange(20), 0),
        wire.encode_data(0xFFFFFFFF, 1) + b"x",
        rng.randbytes(20),
        b"\x08\x07",
    )
    messages.insert(rng.randrange(len(messages) + 1), rng.choice(extra))


def _drop(rng: random.Random, messages: list[bytes]) -> None:
    del messages[rng.randrange(len(messages))]


NOISE = (_flip, _cut, _insert, _insert, _drop)
