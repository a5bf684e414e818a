"""Runs one command and prints its seconds, CPU seconds and peak memory; a process of its own, and a small one.

The system counts the memory of whoever starts a process as the process' own first peak: a benchmark that has
imported anything would hide what its children need.
"""

import os
import sys
import time

with open(os.devnull, "r+b") as null:  # noqa: PTH123 - nothing more is imported
    start = time.perf_counter()
    pid = os.posix_spawn(
        sys.argv[1],
        sys.argv[1:],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, null.fileno(), 0), (os.POSIX_SPAWN_DUP2, null.fileno(), 1)],
    )
    _, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
