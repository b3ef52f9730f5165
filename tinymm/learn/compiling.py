"""Say that kernels are being compiled, and for how long: nobody should wait before a silent screen.

Numba reports the start and end of each compilation; kernels that come from the cache report nothing.
"""

import contextlib
import sys
import threading
import time


@contextlib.contextmanager
def announced(about=None, stream=None):
    """Inside this block, compilations are announced: a running bar on a terminal, two lines elsewhere.

    Parameters
    ----------
    about : int, optional
        How many seconds it takes in all, about.
    stream : file, optional
        Default: standard error.

    Yields
    ------
    Progress
        With `count` and `seconds` of what was compiled.
    """
    progress = Progress(about, stream or sys.stderr)
    try:
        from numba.core import event
    except ImportError:
        yield progress
        return
    listener = _listener(event, progress)
    event.register("numba:compile", listener)
    try:
        yield progress
    finally:
        event.unregister("numba:compile", listener)
        progress.close()


class Progress:
    """What has been compiled, and the bar that shows it."""

    def __init__(self, about, stream):
        self.about, self.stream = about, stream
        self.count, self.seconds = 0, 0.0
        self._depth, self._since, self._name, self._bar = 0, 0.0, "", None
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def start(self, name):
        with self._lock:
            self._depth += 1
            if self._depth > 1:  # compiled on behalf of the one that is being compiled
                return
            self._since = time.perf_counter()
            self._name = name
            if self._bar is None:
                self._open()

    def end(self):
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self.count += 1
                self.seconds += time.perf_counter() - self._since

    def _open(self):
        from tqdm import tqdm

        from tinymm.kernels.compiled import _jit

        folder = _jit.cache_folder()
        kept = f"kept in {folder}" if folder else "no folder is writeable, so it cannot be kept"
        about = f", about {self.about} s" if self.about else ""
        print(f"compiling kernels, once{about} ({kept})", file=self.stream, flush=True)
        self._bar = tqdm(total=self.about, file=self.stream, disable=None, leave=False,
                         bar_format="{desc} {bar:20}")  # fmt: skip
        if self.stream.isatty():
            threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self):
        while not self._stop.wait(0.2):
            with self._lock:
                if self._depth:
                    spent = self.seconds + time.perf_counter() - self._since
                    self._bar.n = min(spent, self.about) if self.about else spent
                    self._bar.set_description_str(f"compiling {self._name:<32} {spent:3.0f} s", refresh=True)
                else:
                    self._bar.clear()

    def close(self):
        self._stop.set()
        if self._bar is not None:
            self._bar.close()
            print(f"compiled {self.count} kernels in {self.seconds:.0f} s", file=self.stream, flush=True)


def _readable(function):
    """``tinymm.kernels.compiled.rowwise._cross_entropy`` -> "rowwise cross entropy"."""
    if function is None:
        return "a kernel"
    module = function.__module__.rpartition(".")[2] if function.__module__.startswith("tinymm.") else ""
    return f"{module} {function.__name__.replace('_', ' ').strip()}".strip()


def _listener(event, progress):
    class Listener(event.Listener):
        def on_start(self, e):
            dispatcher = e.data.get("dispatcher")
            progress.start(_readable(getattr(dispatcher, "py_func", None)))

        def on_end(self, e):
            progress.end()

    return Listener()
