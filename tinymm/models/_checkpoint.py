"""The checkpoint of a training loop that is not `tinymm.train.fit`: that of Word2Vec, that of GloVe."""

import hashlib
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tinymm.io import checkpoints
from tinymm.io.interrupt import ctrl_c


class TrainingFile:
    """Where a training saves its tables and its place, and what it goes on from. Without a path it does nothing.

    Used as ``with file:`` around the training, it makes of Ctrl-C a request to save and stop at the next good moment.

    Parameters
    ----------
    path, every, resume
        As `fit` was given them: `every` counts words or cells.
    epoch : int
        So many words or cells are one epoch, at whose end it saves too.
    settings : dict
        What the result depends on, by name; one key is "model".
    data : tuple
        A list of words, or None, and arrays: what is trained on.

    Attributes
    ----------
    tables, place : dict or None
        What was saved, if there is something to go on from.

    Raises
    ------
    ValueError
        If `every` or `resume` are given without a path; if `every` is not positive.
    CheckpointError
        If the file is damaged, or of another model, config or text.
    """

    def __init__(self, path, every, resume, *, epoch, settings, data):
        self.path, self.every, self.epoch = path, every, epoch
        self.tables = self.place = None
        self.pressed, self.stack = [], ExitStack()
        if path is None:
            if every is not None or resume:
                raise ValueError("checkpoint_every and resume need a file; expected checkpoint=PATH with them")
            return
        if every is not None and not every >= 1:
            raise ValueError(f"checkpoint_every is {every}; expected at least 1, or None for the end of each epoch")
        self.origin = {"settings": settings, "data": fingerprint(*data)}
        if resume and Path(path).exists():
            state = checkpoints.load(path, parts=("settings", "data", "tables", "place"))
            self._compare(state)
            self.tables, self.place = state["tables"], state["place"]

    def __enter__(self):
        if self.path is not None:
            self.pressed = self.stack.enter_context(ctrl_c())
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def save(self, tables, place):
        """Write both, unless training has diverged: then the last good file stays."""
        if self.path is None:
            return
        for name, table in tables.items():
            if not np.isfinite(table).all():
                raise FloatingPointError(f"training diverged: {name} hold NaN or infinity. Try a lower lr")
        checkpoints.save(self.path, {**self.origin, "tables": tables, "place": place})

    def after(self, amount, done, tables, place):
        """Call with the words or cells of the last step and of all: saves at the end of an epoch and when it is due.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C was pressed, after saving.
        """
        due = done % self.epoch == 0 or (self.every and done // self.every > (done - amount) // self.every)
        if due or self.pressed:
            self.save(tables, place)
        if self.pressed:
            raise KeyboardInterrupt

    def _compare(self, state):
        """Refuse to go on with what would end elsewhere than where it began."""
        here, there = self.origin["settings"], state["settings"]
        other = [name for name in {**here, **there} if here.get(name) != there.get(name)]
        if other:
            name = other[0]
            what = f"its {name} is {there.get(name)!r}, expected {here.get(name)!r}"
        elif state["data"] != self.origin["data"]:
            what = "it began with another text or vocabulary"
        else:
            return
        raise checkpoints.CheckpointError(
            f"{self.path}: the checkpoint of another training: {what}. Try what it began with, or resume=False"
        )


def fingerprint(words, *arrays):
    """32 hexadecimal digits that are others for any other words or arrays."""
    digest = hashlib.blake2b("\n".join(words or []).encode("utf-8", "surrogatepass"), digest_size=16)
    for array in map(np.ascontiguousarray, arrays):
        digest.update(f"\n\n{array.dtype.str} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
