import subprocess
import sys

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


def test_there_is_a_core():
    assert n_cores() >= 1
