"""The one place that brings arrays into the form that compiled kernels take: C-contiguous, of one to three dimensions.

Every further layout would compile another version of the kernel (0.4 s each), and strided rows do not vectorise.
"""

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def floats(x, name="x"):
    """`x` as a C-contiguous, writeable array of float32 or float64; no copy where none is needed.

    Raises
    ------
    TypeError
        If the dtype is neither.
    """
    if type(x) is not np.ndarray:
        x = np.asarray(x)
    if x.dtype not in FLOATS:
        raise TypeError(
            f"{name} has dtype {x.dtype}; kernels take float32 or float64. Try {name}.astype(np.float32)"
        )
    if not x.flags.carray:  # C-contiguous, aligned, writeable
        x = x.copy(order="C")
    return x


def integers(x, name="index", dtype=np.int64):
    """`x` as a C-contiguous, writeable integer array.

    Raises
    ------
    TypeError
        If `x` holds anything but integers.
    """
    x = np.asarray(x)
    if x.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {x.dtype}; expected integers. Try {name}.astype(np.int64)")
    x = np.asarray(x, dtype=dtype, order="C")
    return x if x.flags.writeable else x.copy()


def rows(x, name="x"):
    """`x` with all but its last axis flattened: (..., n) -> (m, n), ready for a kernel."""
    x = floats(x, name)
    if x.ndim == 0:
        raise ValueError(f"{name} is a scalar; expected at least one dimension")
    return x.reshape(-1, x.shape[-1]) if x.size or x.shape[-1] else x.reshape(0, x.shape[-1])
