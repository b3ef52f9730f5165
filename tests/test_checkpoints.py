"""Checkpoint files: what goes in comes out; a full disk costs nothing; a bad file gives one clear error."""

import errno
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tinymm.io import checkpoints
from tinymm.io.checkpoints import CheckpointError, load, load_arrays, save

STATE = {
    "model": {"0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "0.bias": np.array([np.nan, np.inf, -0.0])},
    "optimizer": {"state": [{"step": 3, "m": np.ones(2)}, {"step": 0, "m": np.zeros((0, 4))}],
                  "param_groups": [{"lr": 1e-3, "betas": [0.9, 0.999], "nesterov": False}]},
    "random": {"state": 2**127 + 12345, "bit_generator": "PCG64"},
    "scalar": np.array(7, np.int64), "flags": np.array([True, False]), "half": np.ones(3, np.float16),
    "best": None, "loss": [0.1, 2 / 3, float("inf")], "text": "Größe 크기", "empty": {}, "none": [],
}


def same(a, b):
    if isinstance(a, np.ndarray):
        assert isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == b.tobytes()  # bit for bit: NaN and -0 too
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    else:
        assert type(a) is type(b) and a == b


def good(tmp_path):
    path = tmp_path / "good.safetensors"
    save(path, STATE)
    return path


def test_everything_comes_back_bit_for_bit(tmp_path):
    found = load(good(tmp_path))
    same(STATE, found)
    found["model"]["0.weight"][0, 0] = 9  # free to write into


def test_a_header_of_any_length(tmp_path):
    """The length comes first in the file, and some look like the first bytes of a pickle."""
    path, lengths = tmp_path / "c", set()
    for n in range(0, 1400, 4):  # a header is a multiple of 8 bytes
        save(path, {"text": "x" * n})
        assert load(path) == {"text": "x" * n}
        lengths.add(int.from_bytes(path.read_bytes()[:8], "little"))
    assert {0x280, 0x380, 0x480, 0x580} <= lengths


def test_strided_arrays_tuples_and_numpy_scalars(tmp_path):
    path = tmp_path / "c"
    save(path, {"t": np.arange(6.0).reshape(2, 3).T, "pair": (1, 2), "n": np.float32(0.1), "i": np.int64(3)})
    found = load(path)
    np.testing.assert_array_equal(found["t"], np.arange(6.0).reshape(2, 3).T)
    assert found["pair"] == [1, 2] and found["n"] == float(np.float32(0.1)) and found["i"] == 3


def test_other_safetensors_readers_open_it(tmp_path):
    from safetensors import safe_open

    with safe_open(good(tmp_path), framework="numpy") as file:
        assert "model.0.weight" in file.keys()  # noqa: SIM118  (it is no dict)
        np.testing.assert_array_equal(file.get_tensor("model.0.weight"), STATE["model"]["0.weight"])
        assert json.loads(file.metadata()["state"])["random"]["bit_generator"] == "PCG64"


def test_a_weight_file_of_another_library_gives_its_arrays(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"w": np.ones(3)}, path)
    arrays, metadata = load_arrays(path)
    np.testing.assert_array_equal(arrays["w"], np.ones(3))
    assert metadata == {}
    with pytest.raises(CheckpointError, match="other.safetensors: not a checkpoint of this version of tinymm: its "
                                              "format is None.*try load_arrays"):
        load(path)


@pytest.mark.parametrize(("state", "message"), [
    ({"a": object()}, "save: a is a object; expected arrays"),
    ({"a": {1: 2}}, "the keys of a must be strings"),
    ({"$array": 2}, "the keys of the state must be strings other than '\\$array'"),
    ({"a": np.array(["x"])}, "a is an array of <U1; expected numbers"),
    ({"a": {"b": np.ones(1)}, "a.b": np.ones(1)}, "two arrays would be called 'a.b'"),
    ({"a": [b"bytes"]}, "a.0 is a bytes"),
])
def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path, state, message):
    with pytest.raises(TypeError, match=message):
        save(tmp_path / "c", state)
    assert not os.listdir(tmp_path)


# ---- writing --------------------------------------------------------------------------------------------------------


def test_nothing_else_is_left_in_the_folder(tmp_path):
    save(good(tmp_path), STATE)
    assert os.listdir(tmp_path) == ["good.safetensors"]


def test_what_a_killed_run_left_behind_is_overwritten(tmp_path):
    (tmp_path / ".good.safetensors.tmp").write_bytes(b"half a checkpo")
    same(STATE, load(good(tmp_path)))
    assert os.listdir(tmp_path) == ["good.safetensors"]


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_full_disk_keeps_the_last_good_one(tmp_path, monkeypatch, where):
    path = good(tmp_path)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    if where == "write":
        class Full(io.FileIO):
            def write(self, data):
                super().write(bytes(data)[:100])
                full()

        monkeypatch.setattr("builtins.open", lambda file, mode="r", **k: Full(file, mode))
    else:
        monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match="No space left"):
        save(path, {"a": np.zeros(1000)})
    monkeypatch.undo()
    same(STATE, load(path))
    assert os.listdir(tmp_path) == ["good.safetensors"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files, which Windows has not")
def test_a_disk_that_is_really_full_keeps_the_last_good_one(tmp_path):
    """In a process of its own that may write no file over 20 kB; the kernel cuts the write short."""
    path = good(tmp_path)
    code = f"""
import resource, signal, sys
import numpy as np
from tinymm.io.checkpoints import save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save({str(path)!r}, {{"a": np.zeros(100_000)}})
except OSError as error:
    sys.exit(f"refused: {{error}}")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.startswith("refused:"), run.stderr
    same(STATE, load(path))
    assert os.listdir(tmp_path) == ["good.safetensors"]


def test_a_new_file_is_complete_and_synced_before_it_takes_the_name(tmp_path, monkeypatch):
    path, order = good(tmp_path), []
    fsync, replace = os.fsync, os.replace

    def see_fsync(handle):
        order.append(("fsync", os.fstat(handle).st_size))
        fsync(handle)

    def see_replace(old, new):
        order.append(("replace", os.path.getsize(old)))
        same(STATE, load(new))  # until now the old one is there
        replace(old, new)

    monkeypatch.setattr(os, "fsync", see_fsync)
    monkeypatch.setattr(os, "replace", see_replace)
    save(path, {"a": np.zeros(1000)})
    assert [what for what, _ in order[:2]] == ["fsync", "replace"]
    assert order[0][1] == order[1][1] == path.stat().st_size
    assert [what for what, _ in order[2:]] == (["fsync"] if hasattr(os, "O_DIRECTORY") else [])


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="c: there is no folder .*no; make it first"):
        save(tmp_path / "no" / "c", STATE)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "c")


# ---- bad files ------------------------------------------------------------------------------------------------------


def refused(path, message):
    """One CheckpointError of one line that names the file."""
    with pytest.raises(CheckpointError, match=message) as error:
        load(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert error.value.__cause__ is None


def test_every_truncation_is_refused(tmp_path):
    data = good(tmp_path).read_bytes()
    path = tmp_path / "cut"
    for length in [*range(0, 40), *range(40, len(data), 37), len(data) - 1]:
        path.write_bytes(data[:length])
        refused(path, "cut off")


def test_every_flipped_bit_is_refused(tmp_path):
    data = good(tmp_path).read_bytes()
    path = tmp_path / "flipped"
    for place in range(0, len(data), 11):
        broken = bytearray(data)
        broken[place] ^= 1 << place % 8
        path.write_bytes(broken)
        try:
            found = load(path)
        except CheckpointError as error:
            assert "\n" not in str(error)
        else:  # only white space at the end of the header may differ
            same(STATE, found)
            assert data[place:place + 1] == b" "


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("trapped",))


def test_a_pickle_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Trap()))
    refused(path, "a pickle, as torch.save writes")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Trap()))
    refused(path, "a pickle, as torch.save writes")
    assert not (tmp_path / "trapped").exists()


def test_a_checkpoint_that_lacks_a_part_is_refused(tmp_path):
    path = good(tmp_path)
    same(STATE, load(path, parts=("model", "loss")))
    with pytest.raises(CheckpointError, match="a checkpoint of something else: it has no vectors, loader"):
        load(path, parts=("model", "vectors", "loader"))


def raw(path, header, data=b"", length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(header) if length is None else length).to_bytes(8, "little") + header + data)


def with_state(structure, tensors=None, crc=None):
    structure = structure if isinstance(structure, str) else json.dumps(structure)
    crc = checkpoints._checksum(structure, {}) if crc is None else crc
    metadata = {"format": checkpoints.FORMAT, "state": structure, "crc32": str(crc)}
    return {"__metadata__": metadata, **(tensors or {})}


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HOSTILE = {
    "a huge header": (b"{", b"", 2**63, "no header"),
    "a header over the limit": (b"{", b"", 200_000_000, "no header"),
    "a header past the end": (b"{}", b"", 100, "no header"),
    "no JSON": (b"{not json}", b"", None, "not a readable safetensors file"),
    "another JSON": (b"[1, 2]", b"", None, "not a safetensors file"),
    "an unknown type": ({"a": {**F32, "dtype": "F33"}}, b"0000", None, "not a readable"),
    "a type that NumPy lacks": ({"a": {**F32, "dtype": "BF16", "data_offsets": [0, 2]}}, b"00", None, "not a readable"),
    "a wrong size": ({"a": {**F32, "shape": [7]}}, b"0000", None, "not a readable"),
    "a negative size": ({"a": {**F32, "shape": [-1]}}, b"0000", None, "not a readable"),
    "a size that overflows": ({"a": {**F32, "shape": [2**62, 2**62]}}, b"0000", None, "not a readable"),
    "offsets outside": ({"a": {**F32, "data_offsets": [4, 8]}}, b"0000", None, "not a readable"),
    "tensors that overlap": ({"a": F32, "b": F32}, b"0000", None, "not a readable"),
    "more data than tensors": ({"a": F32}, b"00000000", None, "not a readable"),
    "metadata that is no text": ({"__metadata__": {"format": 1}}, b"", None, "not a readable"),
    "a wrong checksum": (with_state({}, crc=1), b"", None, "damaged: its checksum"),
    "a state that is no JSON": (with_state("{"), b"", None, "its state cannot be read"),
    "a state that is no dict": (with_state([1]), b"", None, "its state is a list; expected a dict"),
    "an array that is not there": (with_state({"a": {"$array": "b"}}), b"", None, "its state cannot be read"),
    "an array's name that is none": (with_state({"a": {"$array": [1]}}), b"", None, "its state cannot be read"),
    "a state nested without end": (with_state("[" * 100_000 + "]" * 100_000), b"", None, "its state cannot be read"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path, name):
    header, data, length, message = HOSTILE[name]
    path = tmp_path / "hostile"
    raw(path, header, data, length)
    refused(path, message)


@pytest.mark.parametrize("content", [b"", b"hello", b"x" * 1000, b"\x89PNG\r\n\x1a\n" + bytes(100),
                                     b"\x93NUMPY\x01\x00" + bytes(100)])
def test_foreign_files_are_refused(tmp_path, content):
    path = tmp_path / "foreign"
    path.write_bytes(content)
    refused(path, "safetensors file")


def test_a_folder_is_refused(tmp_path):
    refused(tmp_path, "a folder; expected a safetensors file")


def test_no_pickle_in_the_module():
    with open(checkpoints.__file__, encoding="utf-8") as file:
        assert "import pickle" not in file.read()
