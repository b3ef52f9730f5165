"""What there is to learn from: the documentation on this disk, and the data sets below the folder TINYMM_DATA."""

import os
from pathlib import Path

# name -> (what it is, what tells that it is there, the lessons that use it)
KNOWN = {
    "mnist": ("handwritten digits, four IDX files", "train-images*idx3-ubyte*", "03"),
    "word_eval": ("analogies and word similarity sets", "google_analogies/questions-words.txt", "04 05"),
    "multi30k": ("captions in four languages", "*", "13"),
    "fsdd": ("spoken digits", "*", "28"),
    "easy_vqa": ("questions over drawn shapes", "*", "18"),
    "nlvr": ("statements over drawn images", "*", "23"),
    "public_domain_recipes": ("recipes", "*", "17"),
    "coco_mini": ("photos with captions and boxes", "*", "20"),
}
DOCUMENTATION = "documentation"


def root():
    """The folder that TINYMM_DATA names, or None.

    Raises
    ------
    NotADirectoryError
        If TINYMM_DATA names something that is no folder.
    """
    value = os.environ.get("TINYMM_DATA", "")
    if not value:
        return None
    path = Path(value).expanduser()
    if not path.is_dir():
        raise NotADirectoryError(f"TINYMM_DATA={value} is not a folder; expected one that holds data sets")
    return path


def find():
    """What is below TINYMM_DATA: name -> path. Data sets that are known, and text files."""
    folder = root()
    if folder is None:
        return {}
    found = {name: folder / name for name, (_, mark, _) in KNOWN.items() if any((folder / name).glob(mark))}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name.endswith((".txt", ".txt.gz", ".text", "text8")):
            found[path.name] = path
    return found


def show_all():
    """Print what is found; the documentation is always there."""
    print(f"{DOCUMENTATION:<24} English from this disk, no download: {_corpus_line()}")
    folder = root()
    if folder is None:
        print("\nTINYMM_DATA is not set. It may name a folder with real data sets; the lessons run without it.")
    else:
        print(f"\nTINYMM_DATA={folder}")
        found = find()
        for name, path in found.items():
            what, _, lessons = KNOWN.get(name, ("text", "", "04 05"))
            print(f"{name:<24} {what} ({_megabytes(path)}; lessons {lessons})")
        missing = [name for name in KNOWN if name not in found]
        if missing:
            print(f"not there: {', '.join(missing)}")
    print("\nLook into one: tinymm data NAME (one of these, or a path). Use one: tinymm run N --data PATH")


def show(name):
    """Print what is in one of them: a name of `show_all`, or a path.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    """
    if name == DOCUMENTATION:
        _show_corpus(_documentation())
        return
    found = find()
    path = found.get(name, Path(name))
    if not path.exists():
        known = ", ".join([DOCUMENTATION, *found])
        raise FileNotFoundError(f"no data named {name!r}; here are: {known}, or give a path")
    if path.is_file():
        from tinymm.data import text

        _show_corpus(text.read(path))
    elif any(path.glob("train-images*idx3-ubyte*")):
        from tinymm.data import images

        digits = images.read_mnist(path)
        print(f"{path}: {len(digits.train_x):,} training and {len(digits.test_x):,} test pictures of "
              f"{digits.train_x.shape[1]} x {digits.train_x.shape[2]}, {len(digits.names)} classes")  # fmt: skip
    else:
        files = sorted(p for p in path.rglob("*") if p.is_file())
        print(f"{path}: {len(files)} files, {_megabytes(path)}")
        for file in files[:12]:
            print(f"  {file.relative_to(path)}")
        if len(files) > 12:
            print(f"  ... and {len(files) - 12} more")


def _documentation():
    from tinymm.data import text

    return text.documentation()


def _corpus_line():
    corpus = _documentation()
    return (f"{corpus.n_words:,} words in {corpus.n_sentences:,} sentences, "
            f"{len(corpus.vocabulary):,} different ones that occur at least 5 times")  # fmt: skip


def _show_corpus(corpus):
    vocabulary = corpus.vocabulary
    print(f"{corpus.name}: {corpus.n_read:,} words, {corpus.n_words:,} of them kept "
          f"({len(vocabulary):,} different, each at least {vocabulary.counts[-1]} times), "
          f"{corpus.n_sentences:,} sentences")  # fmt: skip
    print("  most frequent:", ", ".join(vocabulary.words[:15]))
    print("  rarest:       ", ", ".join(vocabulary.words[-8:]))
    for _, sentence in zip(range(3), corpus.sentences()):
        print("  sentence:     ", " ".join(sentence[:16]), "..." if len(sentence) > 16 else "")


def _megabytes(path):
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return f"{sum(p.stat().st_size for p in files) / 1e6:.1f} MB"
