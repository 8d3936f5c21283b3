"""What this process may use of the machine, and what it has used."""

import os
import re
import resource
import sys
from pathlib import Path


def n_cores() -> int:
    """Cores that this process may run on, which in a container or batch job are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> int:
    """Largest resident memory of this process so far, bytes.

    Linux is asked through ``/proc``: ``getrusage`` there counts what the parent had when it started this program.
    """
    status = Path("/proc/self/status")
    match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    if match is not None:
        return 1024 * int(match[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
