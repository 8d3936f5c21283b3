import platform
import resource
import subprocess
import sys

import pytest

from src.machine import n_cores
from tests.pipeline import ROOT

PROGRAM = """
from src.machine import peak_memory
before = peak_memory()
block = b"x" * (64 << 20)
print(before, peak_memory())
"""


def test_peak_memory_is_that_of_this_process_alone():
    answer = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    before, after = map(int, answer.stdout.split())
    assert 5 << 20 < before < 60 << 20  # the process that runs the tests has more
    assert 60 << 20 < after - before < 80 << 20


PAGE_FAULTS = """
import resource
import sys
from src.machine import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(9):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not platform.libc_ver()[0].startswith("glibc"), reason="another allocator")
def test_the_memory_of_a_freed_array_is_used_again():
    def faults(how):
        command = [sys.executable, "-c", PAGE_FAULTS, how]
        return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    n_pages = (64 << 20) // resource.getpagesize()
    assert faults("returned") >= n_pages
    assert faults("kept") < n_pages / 100


def test_there_is_a_core():
    assert n_cores() >= 1
