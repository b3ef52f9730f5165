"""Files of word vectors: exact round trips, the variants of other programs, and damage of every kind."""

import gzip
import os

import numpy as np
import pytest

from tinymm.data.text import Vocabulary
from tinymm.io import vectors as io

WORDS = ["the", "\uae38", "don't", "42", "\u00e9t\u00e9"]
VECTORS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
VECTORS[0] = [1e-45, -3.4028235e38, 0.1]  # the smallest and the largest float32, and one that decimals cannot hold


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.bin.gz", "v.txt.gz"])
def test_round_trip_is_exact(tmp_path, name):
    io.save(tmp_path / name, WORDS, VECTORS)
    words, vectors = io.load(tmp_path / name)
    assert words == WORDS and vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, VECTORS)
    words, vectors = io.load(tmp_path / name, limit=2)
    assert words == WORDS[:2]
    np.testing.assert_array_equal(vectors, VECTORS[:2])


def test_the_name_chooses_the_format_and_the_option_overrules_it(tmp_path):
    io.save(tmp_path / "v.bin", WORDS, VECTORS)
    io.save(tmp_path / "w", WORDS, VECTORS, binary=True)
    assert (tmp_path / "v.bin").read_bytes() == (tmp_path / "w").read_bytes()
    np.testing.assert_array_equal(io.load(tmp_path / "w", binary=True)[1], VECTORS)


def test_a_vocabulary_and_float64_are_taken(tmp_path):
    io.save(tmp_path / "v.txt", Vocabulary(WORDS, [5, 4, 3, 2, 1]), VECTORS.astype(np.float64))
    assert io.load(tmp_path / "v.txt")[0] == WORDS


def test_files_as_the_c_program_writes_them(tmp_path):
    """A space after the last number of a text line; a line feed after each word of a binary file."""
    (tmp_path / "c.txt").write_bytes(b"2 2\na 1.5 -2 \nb 0.25 3 \n")
    rows = np.array([[1.5, -2], [0.25, 3]], dtype="<f4")
    body = b"".join(w + b" " + r.tobytes() + b"\n" for w, r in zip([b"a", b"b"], rows))
    (tmp_path / "c.bin").write_bytes(b"2 2\n" + body)
    for name in ("c.txt", "c.bin"):
        words, vectors = io.load(tmp_path / name)
        assert words == ["a", "b"]
        np.testing.assert_array_equal(vectors, rows)


def test_numbers_that_look_like_line_feeds_and_spaces_are_kept(tmp_path):
    rows = np.frombuffer(b"\n\n\n\n    " * 2, "<f4").reshape(2, 2)
    io.save(tmp_path / "v.bin", ["a", "b"], rows)
    np.testing.assert_array_equal(io.load(tmp_path / "v.bin")[1], rows)


def test_glove_files_have_no_first_line_and_words_with_odd_spaces(tmp_path):
    (tmp_path / "g.txt").write_text("a 1 2\nb\u00a0c 3 4\n", encoding="utf-8")
    words, vectors = io.load(tmp_path / "g.txt")
    assert words == ["a", "b\u00a0c"] and vectors.tolist() == [[1, 2], [3, 4]]


def test_of_a_word_that_comes_twice_the_first_is_kept(tmp_path):
    (tmp_path / "v.txt").write_text("3 1\na 1\na 2\nb 3\n")
    words, vectors = io.load(tmp_path / "v.txt")
    assert words == ["a", "b"] and vectors.tolist() == [[1], [3]]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("v.txt", b"", "neither"),
        ("v.txt", b"hello\nworld\n", "neither"),
        ("v.txt", b"3 2\na 1 2\nb 3 4\n", "promises 3 words, but 2 follow"),
        ("v.txt", b"1 2\na 1 2\nb 3 4\n", "promises 1 words, but 2 follow"),
        ("v.txt", b"2 2\na 1 2\nb 3\n", "line 2 of the words has 1 numbers; expected 2"),
        ("v.txt", b"2 2\na 1 2\nb 3 1", "cut off"),
        ("v.txt", b"2 2\na 1 2\nb 3 x\n", "line 2 of the words has something that is not a number"),
        ("v.txt", b"2 2\na 1 2\nb 3 nan\n", "NaN or infinity at the word 'b'"),
        ("v.txt", b"2 2\na 1 2\n\xff 3 1\n", "not UTF-8"),
        ("v.bin", b"", "its first line is not"),
        ("v.bin", b"\x89PNG\r\n\x1a\n and so on", "its first line is not"),
        ("v.bin", b"2 0\n", "its first line is not"),
        ("v.bin", b"99999999999 300\na ", "ends too soon"),
        ("v.bin", b"1 2\na " + np.array([1, np.nan], "<f4").tobytes(), "NaN or infinity at the word 'a'"),
        ("v.bin", b"1 2\na " + np.array([1, 2, 3], "<f4").tobytes(), "follow after the last"),
        ("v.bin", b"1 2\n\xff " + np.array([1, 2], "<f4").tobytes(), "not UTF-8"),
        ("v.bin", b"2 2\na " + np.array([1, 2, 3, 4], "<f4").tobytes() + b"bcde", "ends within word 2"),
        ("v.txt.gz", gzip.compress(b"1 2\na 1 2\n" * 30, mtime=0)[:25], "gzip"),
    ],
)
def test_damaged_and_foreign_files_are_one_clear_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        io.load(tmp_path / name)
    assert name in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["v.txt", "v.bin"])
def test_every_truncation_is_noticed(tmp_path, name):
    io.save(tmp_path / name, WORDS, VECTORS)
    whole = (tmp_path / name).read_bytes()
    for n in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:n])
        with pytest.raises(ValueError, match="expected the word2vec"):
            io.load(tmp_path / name)


def test_the_wrong_format_is_noticed_and_the_other_proposed(tmp_path):
    io.save(tmp_path / "v.txt", WORDS, VECTORS)
    io.save(tmp_path / "v.bin", WORDS, VECTORS)
    with pytest.raises(ValueError, match="binary format, try binary=False"):
        io.load(tmp_path / "v.txt", binary=True)
    with pytest.raises(ValueError, match="text format, try binary=True"):
        io.load(tmp_path / "v.bin", binary=False)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        io.load(tmp_path / "v.bin")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        io.load(tmp_path)


@pytest.mark.parametrize(
    "words, vectors, message",
    [
        (["a"], np.zeros((2, 3)), "1 words and vectors of shape .2, 3."),
        (["a", "b"], np.zeros(2), "expected one row a word"),
        (["a", "new york"], np.zeros((2, 3)), "'new york' is empty or holds white space"),
        (["a", ""], np.zeros((2, 3)), "'' is empty"),
        (["a", "b"], np.array([[1.0], [np.inf]]), "NaN or infinity at the word 'b'"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_written(tmp_path, words, vectors, message):
    with pytest.raises(ValueError, match=message):
        io.save(tmp_path / "v.bin", words, vectors)
    assert list(tmp_path.iterdir()) == []


class FullDisk:
    def __init__(self, descriptor, write):
        self.descriptor, self.write = descriptor, write

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self.descriptor)


@pytest.mark.parametrize("fault", ["write", "fsync", "replace"])
def test_a_failure_while_saving_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch, fault):
    io.save(tmp_path / "v.bin", WORDS, VECTORS)

    def full(*args):
        raise OSError(28, "No space left on device")

    if fault == "write":
        opened = lambda descriptor, _: FullDisk(descriptor, full)  # noqa: E731
        monkeypatch.setattr(io, "open", opened, raising=False)
    else:
        monkeypatch.setattr(os, fault, full)
    with pytest.raises(OSError, match="No space left"):
        io.save(tmp_path / "v.bin", WORDS, VECTORS + 1)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["v.bin"]
    np.testing.assert_array_equal(io.load(tmp_path / "v.bin")[1], VECTORS)
