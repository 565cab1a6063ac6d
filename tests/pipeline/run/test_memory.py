"""Freed memory is kept where the C library can."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource
import numpy as np
from pipeline.run.memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if {kept}:
    assert keep_freed_memory()
for _ in range(3):
    np.ones(8 << 20)
before = faults()
for _ in range(10):
    np.ones(8 << 20)
print(faults() - before)
"""


def page_faults(*, kept):
    done = subprocess.run([sys.executable, "-c", CODE.format(kept=kept)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_a_block_that_was_freed_is_used_again_without_a_page_fault():
    assert page_faults(kept=True) < 100 < page_faults(kept=False)
