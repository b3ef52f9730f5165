"""Kernels: ndarray in, ndarray out; nothing here knows a Tensor.

Every kernel exists twice, under the same name and with the same signature:

* ``kernels/plain/NAME.py`` -- plain NumPy, written to be read. It is the lesson, and the oracle of the tests.
* ``kernels/compiled/NAME.py`` -- Numba, written to be fast.

``kernels.softmax(x)`` calls whichever of the two is in use. ``use("numpy")`` and ``use("numba")`` choose; under
``NUMBA_DISABLE_JIT=1`` or ``TINYMM_KERNELS=numpy`` the plain ones are chosen. A compiled module is imported when
one of its kernels is first called, so that ``import tinymm`` neither imports Numba nor compiles anything.

>>> from tinymm import kernels
>>> kernels.use("numpy")
>>> kernels.softmax([[0.0, 0.0]])
array([[0.5, 0.5]])
"""

import contextlib
import importlib
import os

MODULES = ("matmul", "rowwise", "elementwise", "optimizers", "scatter", "word2vec", "glove")

_backend = "numpy"


def names():
    """The names of all kernels, as a dict name -> module."""
    table = {}
    for module in MODULES:
        for name in importlib.import_module(f"{__name__}.plain.{module}").__all__:
            table[name] = module
    return table


def backend():
    """The backend in use: "numpy" or "numba"."""
    return _backend


def use(name):
    """Run all kernels on "numpy" (the plain twins) or on "numba" (the compiled ones).

    As a statement it switches for good; ``with kernels.using("numpy"):`` switches for a block.

    Raises
    ------
    ValueError
        If `name` is neither of the two.
    """
    global _backend
    if name not in ("numpy", "numba"):
        raise ValueError(f"kernels.use: unknown backend {name!r}; expected 'numpy' or 'numba'")
    _backend = name
    for kernel, module in names().items():
        if name == "numpy":
            globals()[kernel] = getattr(importlib.import_module(f"{__name__}.plain.{module}"), kernel)
        else:
            globals()[kernel] = _on_first_call(kernel, module)


@contextlib.contextmanager
def using(name):
    """``with kernels.using("numpy"):`` runs the block on that backend and goes back afterwards."""
    before = _backend
    use(name)
    try:
        yield
    finally:
        use(before)


def _on_first_call(kernel, module):
    """A stand-in that imports the compiled module, puts all of its kernels in place, and calls the one wanted."""

    def first_call(*args, **kwargs):
        compiled = importlib.import_module(f"{__name__}.compiled.{module}")
        if _backend == "numba":
            for other, where in names().items():
                if where == module:
                    globals()[other] = getattr(compiled, other)
        return getattr(compiled, kernel)(*args, **kwargs)

    first_call.__name__ = kernel
    return first_call


def blas_info():
    """What `matmul` runs on, as a dict: route, library file, processor core it is written for, threads, reason."""
    if _backend == "numpy":
        return {"route": "numpy", "library": "", "core": "", "threads": 0, "reason": "the plain kernels are in use"}
    from tinymm.kernels.compiled._blas import blas

    found = blas()
    return {name: getattr(found, name) for name in ("route", "library", "core", "threads", "reason")}


def _default_backend():
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "numpy"
    return os.environ.get("TINYMM_KERNELS", "numba")


use(_default_backend())
