"""The process between us and a private daemon: it ends the daemon when we end, and leaves nothing.

Run as a script by an isolated interpreter (``python -I -S guard.py``), so it imports only the standard
library, and little of it. Why a process of its own, and not PR_SET_PDEATHSIG on the daemon: that signal
comes when the *thread* that forked ends, and in Python that may be any short-lived worker thread.

A daemon that makes containers runs as process 1 of its own PID namespace, in its own mount namespace. So the kernel, not a
walk over ``/proc``, sees to it that no container process and no mount outlives it, even after a SIGKILL.

::

    our process == pipe ==> guard (own session) --> buildkitd (pid 1 of its namespace) --> runc --> ...

The guard stops the daemon when its standard input ends (we closed it, or died), when our process is gone
(a forked child of ours may hold the pipe open), or on SIGTERM. Then it removes what it was told to, and
exits with the daemon's exit code, or 128 and the number of the signal that ended it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_REC = 0x4000
MS_SLAVE = 1 << 19
PR_SET_PDEATHSIG = 1

EXIT_CANNOT_ISOLATE = 120
"""The namespaces could not be made: not enough privileges."""
EXIT_CANNOT_EXEC = 121
"""The binary could not be executed."""

_POLL_SECONDS = 0.01
_CGROUP_ROOT = "/sys/fs/cgroup"
_libc = ctypes.CDLL(None, use_errno=True)


class Plan:
    """What to run and what to leave behind, as told on the command line.

    ``PARENT GRACE ISOLATE CGROUP REMOVE... -- ARGV...``; ISOLATE is 0 or 1, CGROUP may be empty.
    """

    def __init__(self, words: list[str]) -> None:
        at = words.index("--")
        self.parent = int(words[0])
        self.grace = float(words[1])
        self.isolate = words[2] == "1"
        self.cgroup = words[3]
        self.remove = words[4:at]
        self.argv = words[at + 1 :]


def main(words: list[str]) -> int:
    """Run the daemon until it or our process ends, then clean up."""
    plan = Plan(words)
    wakeup = _catch_signals()
    try:
        pid = _spawn(plan)
        code = _watch(pid, plan, wakeup)
    except OSError as exc:
        _say(f"can not isolate the daemon: {exc}")
        code = EXIT_CANNOT_ISOLATE
    _remove_cgroups(plan.cgroup)
    _remove_paths(plan.remove)
    return code


def _say(text: str) -> None:
    os.write(2, f"pybuildkit guard: {text}\n".encode())


# --- starting ---------------------------------------------------------------------------------------------


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: bytes | None, flags: int) -> None:
    _check(_libc.mount(source.encode(), target.encode(), kind, flags, None), f"mount {target}")


def _catch_signals() -> int:
    """A descriptor that becomes readable on SIGTERM and SIGCHLD; Ctrl-C and hang-ups are not for us."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    return reader


def _spawn(plan: Plan) -> int:
    if plan.isolate:
        _check(_libc.unshare(CLONE_NEWPID), "unshare pid namespace")
    # Held back until the child is the daemon: a stop that comes at once must neither be lost nor handled here.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    # Its writing end stays open as long as the guard lives; nothing is ever written.
    life, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = EXIT_CANNOT_ISOLATE
        try:
            os.close(held)
            _die_with_guard(life)
            if plan.isolate:
                _enter_namespaces()
            _restore_defaults()
            code = EXIT_CANNOT_EXEC
            os.execv(plan.argv[0], plan.argv)  # noqa: S606 - the daemon, as it was told
        except OSError as exc:
            _say(f"can not {'isolate' if code == EXIT_CANNOT_ISOLATE else 'execute'} the daemon: {exc}")
        finally:
            os._exit(code)
    os.close(life)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    return pid


def _die_with_guard(life: int) -> None:
    """In the child: be killed when the guard ends, also if it has ended a moment ago.

    Then the signal never comes. The parent's process id does not tell: from inside the namespace it is 0.
    """
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    watch = select.poll()
    watch.register(life, select.POLLIN)
    if watch.poll(0):
        os._exit(0)


def _enter_namespaces() -> None:
    """In the child: have mounts of its own, and see the own processes in /proc.

    The mount namespace is made here and not in the guard, which must see no mount of the daemon when it
    removes its files. Mounts still arrive from outside (a slave), none leaves.
    """
    _check(_libc.unshare(CLONE_NEWNS), "unshare mount namespace")
    _mount("none", "/", None, MS_REC | MS_SLAVE)
    _mount("proc", "/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def _restore_defaults() -> None:
    """In the child: no input, and no ignored signal, which it and all below it would go on ignoring."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


# --- waiting ----------------------------------------------------------------------------------------------


def _watch(pid: int, plan: Plan, wakeup: int) -> int:
    """Wait for the daemon's end, or for a reason to end it; its exit code."""
    reasons = [0, *_parent_descriptor(plan.parent)]
    poll = select.poll()
    for descriptor in (*reasons, wakeup):
        poll.register(descriptor, select.POLLIN)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return _exit_code(status)
        ready = [descriptor for descriptor, _ in poll.poll()]
        numbers = os.read(wakeup, 64) if wakeup in ready else b""
        if signal.SIGTERM in numbers or os.getppid() != plan.parent or any(each in ready for each in reasons):
            return _end(pid, plan)


def _end(pid: int, plan: Plan) -> int:
    """SIGTERM, and after the grace SIGKILL; the daemon's exit code."""
    deadline = time.monotonic() + plan.grace
    told = False
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return _exit_code(status)
        if not told and (not plan.isolate or _catches_sigterm(pid)):
            os.kill(pid, signal.SIGTERM)
            told = True
        time.sleep(_POLL_SECONDS)
    _say(f"the daemon did not end within {plan.grace:g} s; killing it")
    os.kill(pid, signal.SIGKILL)
    return _exit_code(os.waitpid(pid, 0)[1])


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _catches_sigterm(pid: int) -> bool:
    """Whether the daemon has come so far that SIGTERM means something to it.

    Process 1 of a namespace is spared all signals that it does not catch, and one is enough: a third makes
    buildkitd drop everything.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            caught = next(line for line in file if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return True
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def _parent_descriptor(parent: int) -> list[int]:
    """A descriptor that becomes readable when our process ends; none on kernels before 5.3."""
    try:
        return [os.pidfd_open(parent)]
    except (AttributeError, OSError):
        return []  # the pipe alone has to do


# --- cleaning ---------------------------------------------------------------------------------------------


def _remove_cgroups(name: str) -> None:
    """Remove the cgroups that a killed daemon's containers leave, below the parent that is ours alone."""
    if not name:
        return
    for top in [_CGROUP_ROOT, *(entry.path for entry in os.scandir(_CGROUP_ROOT) if entry.is_dir())]:
        for folder, _, _ in os.walk(f"{top}/{name}", topdown=False):
            _remove_cgroup(folder)


def _remove_cgroup(folder: str) -> None:
    for _ in range(50):
        try:
            os.rmdir(folder)  # noqa: PTH106
        except FileNotFoundError:
            return
        except OSError:  # busy: the kernel is still burying its last process
            time.sleep(0.02)
        else:
            return
    _say(f"can not remove {folder}")


def _remove_paths(paths: list[str]) -> None:
    import shutil

    for path in paths:
        try:
            if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 - pathlib is slow to import
                shutil.rmtree(path)
            else:
                os.unlink(path)  # noqa: PTH108
        except FileNotFoundError:
            pass
        except OSError as exc:
            _say(f"can not remove {path}: {exc}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
