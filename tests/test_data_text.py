"""Text to numbers: what is read is what stands there, and wrong input is named."""

import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinymm.data import text

SENTENCES = [["b", "a", "b"], ["c", "b", "a"], ["d"]]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# ------------------------------------------------------------------------------------------------------ vocabulary


def test_words_are_numbered_by_falling_count_then_first_seen():
    vocabulary = text.Vocabulary.count("z y x y w x x".split())
    assert vocabulary.words == ["x", "y", "z", "w"]
    assert vocabulary.counts.tolist() == [3, 2, 1, 1]
    assert [vocabulary[w] for w in "xyzw"] == [0, 1, 2, 3]
    assert "y" in vocabulary and "q" not in vocabulary


def test_min_count_and_max_size_cut_the_vocabulary():
    words = "z y x y w x x".split()
    assert text.Vocabulary.count(words, min_count=2).words == ["x", "y"]
    assert text.Vocabulary.count(words, max_size=3).words == ["x", "y", "z"]
    assert text.Vocabulary.count(words, min_count=3, max_size=2).words == ["x"]


def test_encode_leaves_unknown_words_out_and_decode_returns():
    vocabulary = text.Vocabulary(["a", "b"], [2, 1])
    ids = vocabulary.encode(["b", "nothing", "a"])
    assert ids.dtype == np.int32 and ids.tolist() == [1, 0]
    assert vocabulary.decode(ids) == ["b", "a"]


def test_vocabulary_errors_are_clear():
    with pytest.raises(KeyError, match="'q' is not among the 2 words"):
        text.Vocabulary(["a", "b"], [2, 1])["q"]
    with pytest.raises(ValueError, match="'a' stands twice"):
        text.Vocabulary(["a", "a"], [2, 1])
    with pytest.raises(ValueError, match="2 words but counts of shape"):
        text.Vocabulary(["a", "b"], [2])


# ---------------------------------------------------------------------------------------------------------- corpus


def test_from_sentences_by_hand():
    corpus = text.from_sentences(SENTENCES, min_count=1)
    assert corpus.vocabulary.words == ["b", "a", "c", "d"]
    assert corpus.ids.tolist() == [0, 1, 0, 2, 0, 1, 3] and corpus.ids.dtype == np.int32
    assert corpus.starts.tolist() == [0, 3, 6, 7] and corpus.starts.dtype == np.int64
    assert list(corpus.sentences()) == SENTENCES
    assert (corpus.n_words, corpus.n_sentences, corpus.n_read) == (7, 3, 7)


def test_rare_words_are_left_out_and_empty_sentences_with_them():
    corpus = text.from_sentences(SENTENCES, min_count=2)
    assert list(corpus.sentences()) == [["b", "a", "b"], ["b", "a"]]
    assert (corpus.n_words, corpus.n_read) == (5, 7)


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), min_size=1, max_size=20),
    st.integers(1, 4),
    st.integers(1, 5) | st.none(),
)
def test_any_corpus_reads_back_as_a_plain_loop_would_have_it(sentences, min_count, longest):
    counts = text.Vocabulary.count([w for s in sentences for w in s])
    kept = {w for w in counts.words if counts.counts[counts[w]] >= min_count}
    if len(kept) < 2:
        with pytest.raises(ValueError, match="expected at least two|holds no words"):
            text.from_sentences(sentences, min_count=min_count, max_sentence=longest)
        return
    expected = []
    for sentence in sentences:
        sentence = [w for w in sentence if w in kept]
        step = longest or max(1, len(sentence))
        expected += [sentence[i : i + step] for i in range(0, len(sentence), step)]
    corpus = text.from_sentences(sentences, min_count=min_count, max_sentence=longest)
    assert list(corpus.sentences()) == expected
    words = [w for s in expected for w in s]
    assert [words.count(w) for w in corpus.vocabulary.words] == corpus.vocabulary.counts.tolist()


def test_one_long_line_is_cut_after_so_many_kept_words(tmp_path):
    path = write(tmp_path / "one_line.txt", " ".join(["rare"] + ["a", "b"] * 1500))
    corpus = text.read(path)
    assert np.diff(corpus.starts).tolist() == [1000, 1000, 1000]
    assert text.read(path, max_sentence=None).starts.tolist() == [0, 3000]
    assert np.diff(text.read(path, max_sentence=2000).starts).tolist() == [2000, 1000]


def test_a_given_vocabulary_is_used():
    first = text.from_sentences(SENTENCES, min_count=1)
    second = text.from_sentences([["a", "new", "d"]], vocabulary=first.vocabulary)
    assert second.vocabulary is first.vocabulary
    assert second.ids.tolist() == [1, 3]
    with pytest.raises(ValueError, match="none of its 1 words"):
        text.from_sentences([["new"]], vocabulary=first.vocabulary)


def test_select_takes_sentences_by_index_and_by_mask():
    corpus = text.from_sentences(SENTENCES, min_count=1)
    assert list(corpus.select([2, 0]).sentences()) == [["d"], ["b", "a", "b"]]
    assert list(corpus.select(np.array([False, True, False])).sentences()) == [["c", "b", "a"]]
    assert corpus.select([]).n_words == 0


def test_pairs_of_a_sentence_by_hand():
    corpus = text.from_sentences([["a", "b", "c", "d"], ["e", "a"]], min_count=1)
    found = sorted("".join(corpus.vocabulary.decode(pair)) for pair in corpus.pairs(2).T)
    assert found == sorted("ab ba ac ca bc cb bd db cd dc ea ae".split())
    assert corpus.select([]).pairs(3).shape == (2, 0)


def test_pairs_in_word2vecs_way_drop_words_first_and_shrink_windows():
    """Seven words, window 2: 22 pairs, and 17 on average when each centre draws its radius from 1 and 2."""
    corpus = text.from_sentences([list("abcdefg")] * 4000, min_count=1)
    assert corpus.select([0]).pairs(2).shape[1] == 22
    rng = np.random.default_rng(0)
    assert corpus.pairs(2, keep=np.ones(7), rng=rng).shape[1] / 4000 == pytest.approx(17, abs=0.1)
    keep = np.ones(7)
    keep[corpus.vocabulary["d"]] = 0
    centre, context = corpus.pairs(1, keep=keep, rng=rng)
    words = {"".join(corpus.vocabulary.decode(pair)) for pair in zip(centre, context)}
    assert words == set("ab ba bc cb ce ec ef fe fg gf".split())  # c and e have become neighbours


def test_shuffle_keeps_counts_and_lengths_and_nothing_else():
    corpus = text.from_sentences([list("abcdefgh")] * 50, min_count=1)
    mixed = corpus.shuffle(3)
    assert np.array_equal(np.bincount(mixed.ids), np.bincount(corpus.ids))
    assert np.array_equal(mixed.starts, corpus.starts) and np.array_equal(mixed.ids, corpus.shuffle(3).ids)
    follows = mixed.ids[1:] == (mixed.ids[:-1] + 1) % 8
    assert follows.mean() < 0.3 and not np.array_equal(mixed.ids, corpus.shuffle(4).ids)


def test_merge_writes_two_words_alike_and_changes_nothing_else():
    corpus = text.from_sentences([*SENTENCES, ["d", "d", "c"]], min_count=1)
    merged = corpus.merge([("a", "d")])
    swap = {"a": "a/d", "d": "a/d"}
    assert list(merged.sentences()) == [[swap.get(w, w) for w in s] for s in corpus.sentences()]
    assert merged.vocabulary.words == ["a/d", "b", "c"] and merged.vocabulary.counts.tolist() == [5, 3, 2]


def test_relations_are_those_that_the_vocabulary_has():
    words = "file files row rows line lines edge edges node left right".split()
    found = text.relations(text.Vocabulary(words, [50] * 10 + [29]))
    assert found == {"one and many": [("file", "files"), ("line", "lines"), ("row", "rows"), ("edge", "edges")]}
    assert text.relations(text.Vocabulary(words, [50] * 11), min_count=60) == {}


def test_words_with_spaces_survive_in_lists():
    corpus = text.from_sentences([["new york", "is"], ["new york"]], min_count=1)
    assert corpus.vocabulary.words == ["new york", "is"]


# ----------------------------------------------------------------------------------------------------------- files


def test_a_file_and_its_gzip_read_as_the_lists_do(tmp_path):
    content = "\n".join(" ".join(s) for s in SENTENCES) + "\n"
    expected = text.from_sentences(SENTENCES, min_count=1)
    for path in (write(tmp_path / "a.txt", content), write(tmp_path / "b", gzip.compress(content.encode()))):
        corpus = text.read(path, min_count=1)
        assert corpus.ids.tolist() == expected.ids.tolist()
        assert corpus.starts.tolist() == expected.starts.tolist()


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 20])
def test_block_borders_cut_neither_words_nor_characters(tmp_path, monkeypatch, block):
    monkeypatch.setattr(text, "BLOCK", block)
    path = write(tmp_path / "a.txt", "\ufeffgro\u00df und \uae38 \U0001f600\r\nzwei   Zeilen\tmehr\n\n und")
    assert list(text.read(path, min_count=1).sentences()) == [
        ["gro\u00df", "und", "\uae38", "\U0001f600"],
        ["zwei", "Zeilen", "mehr"],
        ["und"],
    ]


def test_plain_words_keeps_letters_and_inner_apostrophes(tmp_path):
    assert text.plain_words("Don\u2019t 'stop', x_1 = 25\u00b0C; \u00c9t\u00e9!\nNext").split() == [
        "don't", "stop", "x", "c", "\u00e9t\u00e9", "next"]  # fmt: skip
    path = write(tmp_path / "a.txt", "One, two.\nTWO: one!")
    assert list(text.read(path, min_count=1, clean=text.plain_words).sentences()) == [["one", "two"], ["two", "one"]]


@pytest.mark.parametrize("block", [4, 1 << 20])
def test_a_file_in_another_encoding_names_file_and_offset(tmp_path, monkeypatch, block):
    monkeypatch.setattr(text, "BLOCK", block)
    path = write(tmp_path / "latin.txt", "abc gro\u00df und klein".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt is not utf-8 text: byte 0xdf at offset 7 .*encoding='latin-1'"):
        text.read(path)
    assert "gro\u00df" in text.read(path, encoding="latin-1", min_count=1).vocabulary


@pytest.mark.parametrize(
    "content, error, message",
    [
        (None, FileNotFoundError, "does not exist"),
        (b"", ValueError, "is empty"),
        (b" \n \n", ValueError, "holds no words"),
        (b"one one one one one one", ValueError, r"a vocabulary of one word \('one'\)"),
        (b"one two three", ValueError, "no word occurs often enough.*3 words were read with min_count=5"),
        (b"a b\0c", ValueError, "zero byte"),
        (gzip.compress(b"a b " * 100, mtime=0)[:20], ValueError, "cut-off gzip"),
        (gzip.compress(b"a b " * 100, mtime=0)[:-12] + b"123456789012", ValueError, "gzip"),
    ],
)
def test_wrong_files_are_one_clear_line(tmp_path, content, error, message):
    path = tmp_path / "text.txt"
    if content is not None:
        write(path, content)
    with pytest.raises(error, match=message) as raised:
        text.read(path)
    assert "text.txt" in str(raised.value) and "\n" not in str(raised.value)


def test_wrong_arguments_are_one_clear_line(tmp_path):
    path = write(tmp_path / "a.txt", "a b")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        text.read(tmp_path)
    with pytest.raises(ValueError, match="unknown encoding 'nonsense'"):
        text.read(path, encoding="nonsense")
    with pytest.raises(TypeError, match="lists of words"):
        text.from_sentences("a b")
    for option in ("min_count", "max_size", "max_sentence"):
        for value in (0, -3, 1.5):
            with pytest.raises(ValueError, match=f"{option} is {value}"):
                text.read(path, **{option: value})


def test_memory_is_bounded_by_words_not_by_their_text(tmp_path):
    n = 400_000
    path = write(tmp_path / "a.txt", ("some_rather_long_word another_rather_long_word\n" * (n // 2)))
    text.read(path, progress=False)
    tracemalloc.start()
    corpus = text.read(path, progress=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.n_words == n
    one_block = 80 * text.BLOCK / 10  # its words as Python strings
    assert peak < one_block + 40 * n


# --------------------------------------------------------------------------------------------------- documentation


@pytest.fixture(scope="module")
def lines():
    """Of a quarter of the files: enough to see what kind of text it is."""
    return list(text.documentation_lines(text._sources()[::4], progress=False))


def test_documentation_is_english_and_large(lines):
    words = [w for line in lines for w in line.split()]
    assert len(words) > 200_000
    share = text.Vocabulary.count(words)
    for word in "the of a to is and for in".split():
        assert share[word] < 25, "function words come first in English"


def test_documentation_holds_each_sentence_once_in_lower_case_letters(lines):
    assert len(set(lines)) == len(lines)
    assert all(line.replace(" ", "").replace("'", "").isalpha() and line == line.lower() for line in lines)


def test_code_is_dropped_from_a_docstring(tmp_path):
    source = tmp_path / "module.py"
    source.write_text(
        '''
def f(x):
    """Return the Number of words in max_len. See np.dot, np.sum (x) and max_len, max_sum.

    A second paragraph that goes over
    two lines, doesn't it?

    >>> some_code = f(1)
    a result that was printed

    Return the Number of words in max_len. See np.dot, np.sum (x) and max_len, max_sum.
    """
    # A comment on
    # two lines.

    text = "a short string, not documentation"
    text = """A string over
two lines of the source"""
    # one plain sentence without a full stop
    raise SystemExit  # would stop the test, were it run
raise SystemExit
'''
    )
    assert list(text.documentation_lines([source], progress=False)) == [
        "return the number of words in",
        "a second paragraph that goes over two lines doesn't it",
        "a string over two lines of the source",
        "a comment on two lines",
        "one plain sentence without a full stop",
    ]


def test_documentation_is_the_same_from_the_cache_and_without_one(tmp_path, monkeypatch):
    (tmp_path / "m.py").write_text('"""One sentence of words. Another sentence of words.\n\nMore of the words."""\n')
    monkeypatch.setattr(text, "_sources", lambda: [tmp_path / "m.py"])
    monkeypatch.setenv("TINYMM_CACHE", str(tmp_path / "cache"))
    first = text.documentation(min_count=1)
    assert len(list((tmp_path / "cache").glob("documentation-*.txt"))) == 1
    monkeypatch.setattr(text, "documentation_lines", None)  # would fail if it were called again
    again = text.documentation(min_count=1)
    monkeypatch.undo()
    monkeypatch.setattr(text, "_sources", lambda: [tmp_path / "m.py"])
    (tmp_path / "a_file").touch()
    monkeypatch.setenv("TINYMM_CACHE", str(tmp_path / "a_file" / "below"))  # nowhere to write
    without = text.documentation(min_count=1)
    for other in (again, without):
        assert other.ids.tolist() == first.ids.tolist() and other.starts.tolist() == first.starts.tolist()
        assert other.vocabulary.words == first.vocabulary.words and other.name == first.name
