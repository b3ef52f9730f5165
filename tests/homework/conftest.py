"""A learner's folder, and files to put into it."""

import subprocess
import sys
import tempfile

import pytest

from tinymm.learn import homework, work

RIGHT = '''import numpy as np


def unbroadcast(gradient, shape, name="unbroadcast"):
    extra = gradient.ndim - len(shape)
    if extra < 0 or any(s not in (1, n) for s, n in zip(shape, gradient.shape[extra:])):
        raise ValueError(f"{name}: {gradient.shape} does not come from {shape}")
    axes = tuple(range(extra)) + tuple(extra + i for i, s in enumerate(shape) if s == 1)
    return gradient.sum(axis=axes, keepdims=True).reshape(shape)


def cumsum(x, *, axis=None):
    def d_x(g):
        if axis is None:
            return np.cumsum(g[::-1])[::-1].reshape(x.shape)
        return np.flip(np.cumsum(np.flip(g, axis), axis), axis)

    return np.cumsum(x, axis=axis), (d_x,)


def check_gradient(op, x, rng):
    y, (d_x,) = op(x)
    g = rng.normal(size=np.shape(y))
    for i in range(x.size):
        h = np.zeros(x.shape)
        h.flat[i] = 1e-6
        if abs((g * (op(x + h)[0] - op(x - h)[0])).sum() / 2e-6 - d_x(g).flat[i]) > 1e-5:
            return False
    return True


def test_check_gradient(check):
    def lazy(x):
        return np.exp(x) / np.exp(x).sum(), (lambda g: 0 * x,)

    assert not check(lazy, np.array([0.5, -1.0, 2.0]), np.random.default_rng(3))
'''


def answers(name):
    """The right guesses of lesson 01 for the learner `name`, as a file has them."""
    drawn = homework.load("01_autograd")[1].drawn(name)
    a, b = drawn["a"], drawn["b"]
    return (f'\n\npredict_1_2 = {{"d_a": {2 * a + b}, "d_b": {a}, "by_number": {a}, "depth_first": {a + b},\n'
            f'               "because": "product rule, two paths to a", "why": ""}}\n')  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A learner's folder with lesson 01 begun; temporary files go elsewhere below `tmp_path`."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    here = work.Folder(tmp_path / "work")
    work.start(here, "01_autograd", "Ada")
    return here


def tinymm(*arguments, timeout=400, **options):
    """The command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "tinymm", *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, **options)  # fmt: skip
