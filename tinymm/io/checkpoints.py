"""Checkpoints: nested dicts of arrays and plain values in one safetensors file. No pickle anywhere.

The arrays are the file's tensors, so that torch and every safetensors tool can open it; the rest stands as JSON in its
metadata, with a checksum over all of it. A file is written beside its place, synced, and renamed into it: whatever
happens, there is either the old checkpoint or the new one.
"""

import contextlib
import json
import math
import os
import zlib
from pathlib import Path

import numpy as np

FORMAT = "tinymm checkpoint 1"
ARRAY = "$array"  # {"$array": name} in the JSON stands for the tensor of that name
_LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors library


class CheckpointError(ValueError):
    """A file that cannot be read as a checkpoint; the message is one line that says which and why."""


def save(path, state):
    """Write `state` to `path`, so that either all of it arrives or the old file stays.

    Parameters
    ----------
    path : str or Path
        The folder must exist.
    state : dict
        Nested dicts (with string keys) and lists of arrays, numbers, strings, booleans and None. Tuples come back as
        lists, NumPy scalars as Python numbers.

    Raises
    ------
    TypeError
        If there is anything else in `state`.
    OSError
        If the file cannot be written (disk full, no such folder, read-only). The old file is as it was.
    """
    from safetensors.numpy import save as to_bytes

    arrays = {}
    structure = json.dumps(_split(state, "", arrays))
    metadata = {"format": FORMAT, "state": structure, "crc32": str(_checksum(structure, arrays))}
    write_atomically(path, to_bytes(arrays, metadata))


def load(path, parts=()):
    """Read what `save` wrote.

    Parameters
    ----------
    path : str or Path
    parts : iterable of str
        Keys that the state must have.

    Returns
    -------
    dict
        Its arrays are free to write into.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If it is not a checkpoint of tinymm, or damaged, or lacks one of the `parts`.
    """
    arrays, metadata = load_arrays(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of this version of tinymm: its format is "
                              f"{metadata.get('format')!r}, expected {FORMAT!r}. For its arrays alone try load_arrays")
    structure = metadata.get("state", "")
    if metadata.get("crc32") != str(_checksum(structure, arrays)):
        raise CheckpointError(f"{path}: damaged: its checksum does not fit its content. Use an earlier checkpoint")
    try:
        state = _join(json.loads(structure), arrays)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its state cannot be read ({type(error).__name__}: {error})") from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: its state is a {type(state).__name__}; expected a dict")
    missing = [part for part in parts if part not in state]
    if missing:
        raise CheckpointError(f"{path}: a checkpoint of something else: it has no {', '.join(missing)}")
    return state


def load_arrays(path):
    """The tensors of any safetensors file, and its metadata.

    Returns
    -------
    arrays : dict of str to ndarray
    metadata : dict of str to str

    Raises
    ------
    FileNotFoundError, CheckpointError
        As for `load`.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    _look_at(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            return {name: np.array(file.get_tensor(name)) for name in names}, metadata
    except (SafetensorError, TypeError, ValueError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: not a readable safetensors file, or cut off ({reason[:200]})") from None


def write_atomically(path, data):
    """Write bytes to a file beside `path`, sync it, and rename it to `path`.

    Raises
    ------
    OSError
        If that fails; nothing is left behind, and what was at `path` is as it was.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first")
    temporary = path.with_name(f".{path.name}.tmp")  # always the same: what a killed run left is overwritten
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the rename itself survives a power cut only once the folder is synced
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _look_at(path):
    """Name the wrong kinds of file that people really have, before the library does so less clearly."""
    if path.is_dir():
        raise CheckpointError(f"{path}: a folder; expected a safetensors file")
    with open(path, "rb") as file:
        head = file.read(16)
    size = path.stat().st_size
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= min(size - 8, _LARGEST_HEADER):
        return  # before the looks at the first bytes: those of a length may be any, a pickle's \x80\x04 too
    if head[:4] == b"PK\x03\x04" or (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")):
        raise CheckpointError(f"{path}: a pickle, as torch.save writes; opening one can run any code, so tinymm never "
                              "does. Save it as safetensors where you trust it (safetensors.torch.save_file)")
    if len(head) < 8:
        raise CheckpointError(f"{path}: {size} bytes are no safetensors file; it is empty or cut off")
    raise CheckpointError(f"{path}: not a safetensors file, or cut off: no header where there should be one")


def _split(value, name, arrays):
    """`value` with every array replaced by its name; the arrays go into `arrays`."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiub":
            raise TypeError(f"save: {name} is an array of {value.dtype}; expected numbers")
        if name in arrays:
            raise TypeError(f"save: two arrays would be called {name!r}; rename a key")
        arrays[name] = value.copy(order="C")
        return {ARRAY: name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key != ARRAY for key in value):
            raise TypeError(f"save: the keys of {name or 'the state'} must be strings other than {ARRAY!r}")
        return {key: _split(item, f"{name}.{key}" if name else key, arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_split(item, f"{name}.{i}" if name else str(i), arrays) for i, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"save: {name} is a {type(value).__name__}; expected arrays, numbers, strings, lists and dicts")


def _join(value, arrays):
    if isinstance(value, dict):
        if ARRAY in value:
            return arrays[value[ARRAY]]
        return {key: _join(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_join(item, arrays) for item in value]
    return value


def _checksum(structure, arrays):
    """CRC-32 over the JSON and all arrays with their names, types and shapes."""
    crc = zlib.crc32(structure.encode())
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), crc)
        crc = zlib.crc32(memoryview(array.reshape(-1)).cast("B") if math.prod(array.shape) else b"", crc)
    return crc
