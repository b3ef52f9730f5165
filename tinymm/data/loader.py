"""`Loader`: batches of a data set, shuffled, in an order that depends on nothing but a seed.

The order of epoch e is drawn from a generator seeded with (seed, e), and what `transform` draws for batch b from one
seeded with (seed, e, b). So the place in the data is three numbers, and a resumed run sees what it would have seen.
"""

import queue
import threading

import numpy as np


class Loader:
    """Iterate over batches; each ``for batch in loader`` is one epoch.

    Parameters
    ----------
    data : ndarray, tuple or dict of ndarray, or data set
        Arrays are cut along their first axis, and a tuple or dict of them gives tuples or dicts. A data set has
        ``len(data)`` and ``data[i]``, and its items are put together by `collate`.
    batch_size : int
    shuffle : bool
        Draw a new order each epoch.
    seed : int
        What orders and transforms are drawn from.
    drop_last : bool
        Leave out a last batch that is smaller.
    collate : callable, optional
        ``collate(list of items) -> batch``; by default items (tuples and dicts of them too) are stacked as arrays.
        Only for data sets.
    transform : callable, optional
        ``transform(batch, rng) -> batch``, with a generator of the batch's own: for augmentation.
    prefetch : int
        How many batches a thread prepares ahead; 0 for no thread.

    Raises
    ------
    ValueError
        If the arrays have different lengths, or a size is out of its range.
    """

    def __init__(self, data, batch_size=1, shuffle=False, *, seed=0, drop_last=False, collate=None, transform=None,
                 prefetch=0):
        if batch_size < 1:
            raise ValueError(f"Loader: batch_size is {batch_size}; expected at least 1")
        if prefetch < 0:
            raise ValueError(f"Loader: prefetch is {prefetch}; expected 0 or more")
        self.data, self.batch_size, self.shuffle, self.seed = data, batch_size, shuffle, seed
        self.drop_last, self.transform, self.prefetch = drop_last, transform, prefetch
        self._size, self._take = _access(data, collate)
        if self._size == 0:
            raise ValueError("Loader: there is no data; expected at least one item")
        if not len(self):
            raise ValueError(f"Loader: {self._size} items do not fill one batch of {batch_size}; "
                             "try a smaller batch_size, or drop_last=False")
        self.epoch = 0  # the current epoch
        self.batch = 0  # how many of its batches have been handed out
        self._loaded = False

    def __len__(self):
        """Batches in an epoch."""
        full, rest = divmod(self._size, self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self):
        if self.batch and not self._loaded:  # the last epoch was left before its end
            self.epoch, self.batch = self.epoch + 1, 0
        self._loaded = False
        batches = (self._make(self.epoch, b) for b in range(self.batch, len(self)))
        for batch in _ahead(batches, self.prefetch) if self.prefetch else batches:
            self.batch += 1
            yield batch
        self.epoch, self.batch = self.epoch + 1, 0

    def order(self, epoch):
        """The indices of all items, in the order of an epoch."""
        if not self.shuffle:
            return np.arange(self._size)
        return np.random.default_rng([self.seed, epoch]).permutation(self._size)

    def _make(self, epoch, b):
        if b == 0 or getattr(self, "_order_of", None) != epoch:
            self._order, self._order_of = self.order(epoch), epoch
        batch = self._take(self._order[b * self.batch_size:(b + 1) * self.batch_size])
        return batch if self.transform is None else self.transform(batch, np.random.default_rng([self.seed, epoch, b]))

    def state_dict(self):
        """The place after the batch handed out last (not the one prefetched last)."""
        return {"seed": self.seed, "epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state):
        """Go to the place that `state_dict` gave: the next ``for`` goes on in the middle of that epoch."""
        if set(state) != {"seed", "epoch", "batch"}:
            raise ValueError(f"Loader: the state has {', '.join(map(str, state))}; expected seed, epoch, batch")
        if not 0 <= state["batch"] <= len(self):
            raise ValueError(f"Loader: the state is at batch {state['batch']} of {len(self)}; is it of other data?")
        self.seed, self.epoch, self.batch = state["seed"], state["epoch"], state["batch"]
        self._order_of, self._loaded = None, True


def _access(data, collate):
    """The number of items, and a function from indices to a batch."""
    if isinstance(data, (np.ndarray, tuple, dict)):
        if collate is not None:
            raise ValueError("Loader: collate is for data sets with data[i]; for arrays try transform")
        arrays = data.values() if isinstance(data, dict) else data if isinstance(data, tuple) else (data,)
        lengths = [len(a) for a in arrays]
        if len(set(lengths)) != 1:
            raise ValueError(f"Loader: the arrays have {lengths} items; expected arrays of one length")
        if isinstance(data, dict):
            return lengths[0], lambda index: {name: a[index] for name, a in data.items()}
        if isinstance(data, tuple):
            return lengths[0], lambda index: tuple(a[index] for a in data)
        return lengths[0], lambda index: data[index]
    collate = collate or stack
    return len(data), lambda index: collate([data[int(i)] for i in index])


def stack(items):
    """A list of items as one batch: arrays and numbers are stacked, tuples and dicts item by item."""
    first = items[0]
    if isinstance(first, dict):
        return {name: stack([item[name] for item in items]) for name in first}
    if isinstance(first, tuple):
        return tuple(stack(list(column)) for column in zip(*items, strict=True))
    return np.stack(items)


def _ahead(batches, depth):
    """The same batches, made by a thread up to `depth` ahead. What it raises is raised here."""
    ready, left = queue.Queue(depth), threading.Event()

    def put(item):
        while not left.is_set():
            try:
                ready.put(item, timeout=0.05)
                return
            except queue.Full:
                pass

    def work():
        try:
            for batch in batches:
                put((batch, None))
                if left.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:  # handed over, and raised where the batch is taken
            put((None, error))

    thread = threading.Thread(target=work, name="tinymm loader", daemon=True)
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield batch
    finally:
        left.set()
        thread.join()
