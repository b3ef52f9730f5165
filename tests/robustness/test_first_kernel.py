"""Whichever kernel runs first, products run on the BLAS as we want it started."""

import subprocess
import sys

import pytest

CODE = """
import numpy as np
from tinymm import kernels
from tinymm.kernels.compiled import _blas
{first}
found = _blas.blas()
print(found.route, "late" if found.reason.startswith("scipy.linalg was imported first") else "in time")
"""


@pytest.mark.parametrize("first", ["kernels.softmax(np.ones((3, 4)))", "kernels.matmul(np.eye(3), np.eye(3))",
                                   "kernels.scatter_add_rows(np.ones((3, 4)), np.array([0]), np.ones((1, 4)))"])
def test_any_kernel_may_run_first(first):
    done = subprocess.run([sys.executable, "-c", CODE.format(first=first)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    route, when = done.stdout.split(maxsplit=1)
    if route == "numpy":
        pytest.skip("this SciPy brings no OpenBLAS of its own")
    assert when.strip() == "in time"
