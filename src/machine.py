"""What this process may use of the machine, what it has used, and work spread over its cores."""

import ctypes
import os
import re
import resource
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt

Work = TypeVar("Work")
Result = TypeVar("Result")


def n_cores() -> int:
    """Cores that this process may run on, which in a container or batch job are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_running(process: int) -> bool:
    """Whether a process of this number is alive; where that cannot be asked without harm, it is taken to be."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def peak_memory() -> int:
    """Largest resident memory of this process so far, bytes.

    Linux is asked through ``/proc``: ``getrusage`` there counts what the parent had when it started this program.
    """
    status = Path("/proc/self/status")
    match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    if match is not None:
        return 1024 * int(match[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def keep_freed_memory() -> None:
    """Let this process keep the memory of freed arrays below 1 GiB for its next ones; only with glibc's allocator.

    By default glibc returns large blocks to the kernel at once, and the next batch pays a page fault for each 4 KiB of
    them: a third of a training step at 224 px on a CPU.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        set_option(M_MMAP_THRESHOLD, 2**30)
        set_option(M_TRIM_THRESHOLD, 2**31 - 1)


def map_in_order(
    function: Callable[[Work], Result], work: Iterable[Work], n_threads: int
) -> Iterator[tuple[Work, Result]]:
    """Yield each piece of work with its result, in order, however long ``work`` is, with few of them in memory."""
    remaining = iter(work)
    waiting: deque[tuple[Work, Future[Result]]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            while True:
                for piece in islice(remaining, 4 * n_threads - len(waiting)):
                    waiting.append((piece, pool.submit(function, piece)))
                if not waiting:
                    return
                piece, future = waiting.popleft()
                yield piece, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
