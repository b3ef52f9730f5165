"""Pictures: MNIST in its IDX files, and glyphs that are drawn here and need no file."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# ------------------------------------------------------------------------------------------------------- IDX files

_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path):
    """The array in an IDX file, packed with gzip or not.

    Returns
    -------
    ndarray of the file's own type and shape, in native byte order.

    Raises
    ------
    OSError
        If the file is missing or a folder.
    ValueError
        If it is no IDX file, damaged, or shorter or longer than its header says.

    References
    ----------
    The format: two zero bytes, a type byte, the number of dimensions, each dimension as a big-endian 32-bit integer,
    then the numbers, last dimension fastest (Y. LeCun, C. Cortes, C. Burges, "The MNIST database").
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected an IDX file")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected an IDX file")
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
            raise ValueError(f"{path}: damaged or cut-off gzip file ({problem})") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES or len(data) < 4 + 4 * data[3]:
        raise ValueError(f"{path} is not an IDX file: it starts with {data[:4].hex(' ') or 'nothing'}")
    dtype = np.dtype(_IDX_TYPES[data[2]])
    shape = [int(n) for n in np.frombuffer(data, ">u4", data[3], 4)]
    expected = 4 + 4 * len(shape) + dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(data) != expected:
        raise ValueError(f"{path}: {len(data)} bytes, but its header, shape {tuple(shape)}, asks for {expected}")
    array = np.frombuffer(data, dtype, offset=4 + 4 * len(shape)).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


@dataclass(frozen=True)
class Digits:
    """Pictures with labels, in two parts that share nothing.

    Attributes
    ----------
    train_x, test_x : (N, H, W) float32, 0 (paper) to 1 (ink)
    train_y, test_y : (N,) int64
    names : tuple of str
        Name of each class.
    """

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    names: tuple


def read_mnist(path):
    """MNIST, or another set in its four IDX files (Fashion-MNIST, KMNIST), from a folder.

    The files are ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same with ``t10k``, with ``.gz`` or
    without; some copies have a dot for the second hyphen.

    Returns
    -------
    Digits

    Raises
    ------
    OSError
        If one of the files is missing.
    ValueError
        If one of them is damaged, or pictures and labels do not fit each other.
    """
    folder = Path(path)
    parts = []
    for split in ("train", "t10k"):
        x = read_idx(_find(folder, f"{split}-images-idx3-ubyte"))
        y = read_idx(_find(folder, f"{split}-labels-idx1-ubyte"))
        if x.ndim != 3 or y.ndim != 1 or len(x) != len(y):
            raise ValueError(f"{folder}: {split} pictures of shape {x.shape} and labels of shape {y.shape} do not fit")
        parts += [x.astype(np.float32) / 255, y.astype(np.int64)]
    n_classes = int(max(parts[1].max(initial=0), parts[3].max(initial=0))) + 1
    return Digits(*parts, names=tuple(str(i) for i in range(n_classes)))


def _find(folder, name):
    names = [name, name.replace("-idx", ".idx")]
    for candidate in [folder / (n + ending) for n in names for ending in ("", ".gz")]:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"{folder} holds no {name} (or {name}.gz); expected a folder with the four MNIST files")


# ---------------------------------------------------------------------------------------------------- drawn glyphs

# Each glyph as strokes: polylines in a square from (0, 0), top left, to (1, 1), bottom right.
_STROKES = {
    "0": ["0.5,0 0.85,0.15 1,0.5 0.85,0.85 0.5,1 0.15,0.85 0,0.5 0.15,0.15 0.5,0"],
    "1": ["0.15,0.25 0.55,0 0.55,1"],
    "2": ["0,0.2 0.25,0 0.75,0 1,0.25 0.9,0.5 0,1 1,1"],
    "3": ["0,0.1 0.5,0 0.95,0.2 0.5,0.47 1,0.75 0.5,1 0,0.9"],
    "4": ["0.75,1 0.75,0 0,0.7 1,0.7"],
    "5": ["0.95,0 0.1,0 0.05,0.45 0.6,0.4 1,0.7 0.6,1 0,0.95"],
    "6": ["0.85,0 0.3,0.25 0.05,0.7 0.4,1 0.85,0.85 0.85,0.6 0.45,0.5 0.08,0.7"],
    "7": ["0,0 1,0 0.35,1", "0.3,0.5 0.85,0.5"],
    "8": ["0.5,0.47 0.1,0.22 0.5,0 0.9,0.22 0.5,0.47 0,0.75 0.5,1 1,0.75 0.5,0.47"],
    "9": ["0.92,0.3 0.55,0.5 0.15,0.4 0.15,0.15 0.6,0 0.95,0.3 0.7,0.75 0.15,1"],
    "A": ["0,1 0.5,0 1,1", "0.2,0.62 0.8,0.62"],
    "E": ["1,0 0,0 0,1 1,1", "0,0.5 0.8,0.5"],
    "H": ["0,0 0,1", "1,0 1,1", "0,0.5 1,0.5"],
    "K": ["0,0 0,1", "1,0 0,0.6", "0.3,0.45 1,1"],
    "L": ["0,0 0,1 1,1"],
    "M": ["0,1 0,0 0.5,0.6 1,0 1,1"],
    "T": ["0,0 1,0", "0.5,0 0.5,1"],
    "X": ["0,0 1,1", "1,0 0,1"],
    "Y": ["0,0 0.5,0.5 1,0", "0.5,0.5 0.5,1"],
    "Z": ["0,0 1,0 0,1 1,1"],
}
DIGITS = "0123456789"


def glyphs(n, *, classes=DIGITS, size=12, seed=0, noise=0.1, jitter=1.0):
    """Drawn digits and letters: strokes under a random affine map, with a random width of the pen.

    The same arguments give the same pictures; nothing is read from a file.

    Parameters
    ----------
    n : int
        How many; the classes take turns and are then shuffled, so that they are balanced.
    classes : str
        Which of 0123456789AEHKLMTXYZ.
    size : int
        Height and width in pixels.
    noise : float
        Standard deviation of the noise on each pixel.
    jitter : float
        How far the affine map and the points of the strokes stray; 0 draws every glyph alike.

    Returns
    -------
    x : (n, size, size) float32, 0 (paper) to 1 (ink)
    y : (n,) int64
        Index into `classes`.

    Raises
    ------
    ValueError
        If a class is not among the drawn ones, or `n` or `size` is too small.
    """
    unknown = [c for c in classes if c not in _STROKES]
    if unknown or len(set(classes)) < len(classes) or not classes:
        raise ValueError(f"classes={classes!r}; expected different ones of {''.join(_STROKES)!r}")
    if n < 0 or size < 6:
        raise ValueError(f"n={n}, size={size}; expected n of at least 0 and size of at least 6")
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n, dtype=np.int64) % len(classes))
    axis = (np.arange(size) + 0.5) / size
    pixels = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # (x, y), 0 to 1
    x = np.empty((n, size, size), np.float32)
    for label, name in enumerate(classes):
        which = np.flatnonzero(y == label)
        for some in np.array_split(which, max(1, len(which) // 256)):  # bounds the memory
            x[some] = _draw(_STROKES[name], len(some), pixels, size, jitter, rng).reshape(-1, size, size)
    if noise:
        x += rng.normal(0, noise, x.shape).astype(np.float32)
    return np.clip(x, 0, 1), y


def _draw(strokes, n, pixels, size, jitter, rng):
    """(n, P) ink at `pixels` (P, 2): one minus the distance to the nearest stroke, in pens."""
    angle, shear = jitter * rng.normal(0, [0.15, 0.15], (n, 2)).T
    scale = 0.62 * np.exp(jitter * rng.normal(0, 0.1, (n, 2)))  # of the picture
    shift = 0.5 + jitter * rng.uniform(-0.09, 0.09, (n, 2))
    pen = 0.75 / size * np.exp(jitter * rng.normal(0, 0.2, (n, 1)))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, cos * shear - sin], [sin, sin * shear + cos]]).transpose(2, 0, 1) * scale[:, None, :]
    nearest = np.full((n, len(pixels)), np.inf)
    for stroke in strokes:
        points = np.array([point.split(",") for point in stroke.split()], dtype=float) - 0.5
        points = points + jitter * rng.normal(0, 0.04, (n, *points.shape))
        points = np.einsum("nij,npj->npi", matrix, points) + shift[:, None, :]
        for a, b in zip(points[:, :-1].swapaxes(0, 1), points[:, 1:].swapaxes(0, 1)):  # (n, 2) each
            along = b - a
            t = np.einsum("npj,nj->np", pixels - a[:, None], along) / np.maximum((along * along).sum(1), 1e-12)[:, None]
            foot = a[:, None] + np.clip(t, 0, 1)[..., None] * along[:, None]
            np.minimum(nearest, np.linalg.norm(pixels - foot, axis=-1), out=nearest)
    return np.clip(1.5 - 0.75 * nearest / pen, 0, 1)
