"""IDX files, MNIST, drawn glyphs."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from tinymm.data import images


def idx(array, code, dtype):
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(dtype).tobytes()


@pytest.mark.parametrize(
    "code, dtype", [(0x08, "u1"), (0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
def test_read_idx_returns_what_was_written(tmp_path, code, dtype):
    array = np.arange(30).reshape(2, 3, 5)
    for content in (idx(array, code, dtype), gzip.compress(idx(array, code, dtype))):
        (tmp_path / "x").write_bytes(content)
        got = images.read_idx(tmp_path / "x")
        assert got.dtype == np.dtype(dtype).newbyteorder("=") and got.dtype.isnative
        np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not an IDX file"),
        (b"PK\x03\x04 a zip file", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\0\0\x08\x03\0\0", "not an IDX file"),
        (idx(np.zeros((2, 3)), 8, "u1")[:-1], "17 bytes, but its header, shape .2, 3., asks for 18"),
        (idx(np.zeros((2, 3)), 8, "u1") + b"x", "asks for 18"),
        (b"\0\0\x0e\x03" + b"\xff" * 12, "asks for"),
        (gzip.compress(idx(np.zeros((2, 3)), 8, "u1"), mtime=0)[:20], "gzip"),
    ],
)
def test_damaged_idx_files_are_one_clear_line(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        images.read_idx(tmp_path / "x")
    assert "\n" not in str(raised.value)


def test_missing_idx_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        images.read_idx(tmp_path / "x")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        images.read_idx(tmp_path)


def small_mnist(folder, n_labels=4):
    rng = np.random.default_rng(0)
    for split, n in (("train", 4), ("t10k", 3)):
        x = rng.integers(0, 256, (n, 5, 7))
        x[0, 0, :2] = 0, 255
        y = np.arange(n_labels if split == "train" else n)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(idx(x, 8, "u1"))
        (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(y, 8, "u1")))


def test_read_mnist_scales_to_0_1_and_finds_packed_files(tmp_path):
    small_mnist(tmp_path)
    digits = images.read_mnist(tmp_path)
    assert digits.train_x.shape == (4, 5, 7) and digits.test_x.shape == (3, 5, 7)
    assert digits.train_x.dtype == np.float32 and digits.train_x[0, 0, :2].tolist() == [0, 1]
    assert digits.train_y.tolist() == [0, 1, 2, 3] and digits.names == ("0", "1", "2", "3")


def test_mnist_with_a_missing_or_unfitting_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no train-images-idx3-ubyte"):
        images.read_mnist(tmp_path)
    small_mnist(tmp_path, n_labels=3)
    with pytest.raises(ValueError, match="do not fit"):
        images.read_mnist(tmp_path)


@pytest.mark.data
def test_the_real_mnist():
    folder = Path(os.environ.get("TINYMM_DATA", "")) / "mnist"
    if "TINYMM_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("needs MNIST's four IDX files in $TINYMM_DATA/mnist")
    digits = images.read_mnist(folder)
    assert digits.train_x.shape == (60000, 28, 28) and digits.test_x.shape == (10000, 28, 28)
    assert np.bincount(digits.train_y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert digits.train_x.mean() == pytest.approx(0.1307, abs=1e-4)  # the known mean of MNIST
    assert digits.train_x.astype(np.float64).std() == pytest.approx(0.3081, abs=1e-4)


def test_glyphs_are_deterministic_balanced_and_within_0_1():
    x, y = images.glyphs(200, seed=3)
    again, _ = images.glyphs(200, seed=3)
    other, _ = images.glyphs(200, seed=4)
    assert x.shape == (200, 12, 12) and x.dtype == np.float32 and y.dtype == np.int64
    np.testing.assert_array_equal(x, again)
    assert not np.array_equal(x, other)
    assert np.bincount(y).tolist() == [20] * 10
    assert x.min() == 0 and x.max() == 1


def test_without_jitter_all_glyphs_of_a_class_are_alike_and_classes_differ():
    x, y = images.glyphs(40, classes="0123456789AEHKLMTXYZ", jitter=0, noise=0, size=17)
    first = np.stack([x[y == k][0] for k in range(20)])
    np.testing.assert_array_equal(x, first[y])
    distance = np.abs(first[:, None] - first).sum(axis=(2, 3))
    assert distance[~np.eye(20, dtype=bool)].min() > 5


def test_glyphs_can_be_told_apart_but_not_by_a_ruler():
    """Nearest neighbours do well, class means clearly worse: something is left to learn."""
    x, y = images.glyphs(3000, seed=0)
    test_x, test_y = images.glyphs(500, seed=1)
    flat, test = x.reshape(3000, -1), test_x.reshape(500, -1)
    means = np.stack([flat[y == k].mean(axis=0) for k in range(10)])
    by_mean = (((test[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1) == test_y).mean()
    distance = (flat**2).sum(axis=1) - 2 * test @ flat.T
    by_neighbour = (y[distance.argmin(axis=1)] == test_y).mean()
    assert by_neighbour > 0.95 and 0.6 < by_mean < 0.9


@pytest.mark.parametrize("wrong", [{"classes": "0?"}, {"classes": ""}, {"classes": "00"}, {"n": -1}, {"size": 3}])
def test_glyphs_refuses_nonsense(wrong):
    with pytest.raises(ValueError, match="expected"):
        images.glyphs(**{"n": 3, **wrong})


def test_no_glyphs_is_an_empty_array():
    assert images.glyphs(0)[0].shape == (0, 12, 12)
