"""Cores and memory of this process, and work in threads."""

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
    """Cores that this process may use; in a container or batch job fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_running(process: int) -> bool:
    """Whether the process of this id exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        pass
    return True


def peak_memory() -> int:
    """Largest resident memory of this process so far, bytes.

    Linux: from ``/proc``, since ``getrusage`` includes the parent's memory at the start of this program.
    """
    status = Path("/proc/self/status")
    match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    if match is not None:
        return 1024 * int(match[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def total_memory() -> int:
    """Memory that this process may use, bytes: the machine's, or what a container or batch job is limited to."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else ""
    return min(whole, int(text)) if text.isdecimal() else whole


def keep_freed_memory() -> None:
    """Reuse the memory of freed arrays below 1 GiB; only with glibc's allocator.

    By default glibc returns large blocks to the kernel, and each batch causes a page fault for every 4 KiB, a third of
    a training step at 224 px on a CPU.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        set_option(M_MMAP_THRESHOLD, 2**30)
        set_option(M_TRIM_THRESHOLD, 2**31 - 1)


def map_in_order(
    function: Callable[[Work], Result], work: Iterable[Work], n_threads: int
) -> Iterator[tuple[Work, Result]]:
    """Yield each piece of work with its result, in order; at most ``4 * n_threads`` pieces are in memory."""
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
