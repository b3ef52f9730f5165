"""The parent's side of a check: start the child, give it the inputs, read arrays, never believe more than arrays."""

import os
import queue
import re
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tinymm.learn import child, lessons

START_SECONDS = 30  # for Python and NumPy to be imported on a busy machine
MEMORY_MB = 2048
KEPT = ("PATH", "SYSTEMROOT", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TINYMM_DATA")  # of the environment
PRINTED = 2000  # characters of what the code printed that are shown


@dataclass
class Request:
    """One call of a learner's function.

    Attributes
    ----------
    part : str
        The name of the function in the learner's file.
    driver : str
        What is done with it: a name in `child.DRIVERS`, or of a driver that goes along.
    args, static
        What the driver gets besides the function.
    """

    part: str
    driver: str = "call"
    args: tuple = ()
    static: dict = field(default_factory=dict)


@dataclass
class Answer:
    """What came back: a value, or an error on one line."""

    value: object = None
    error: str | None = None
    wrote: bool = False


@dataclass
class Run:
    """All answers of one child.

    Attributes
    ----------
    answers : list of Answer
    broken : str or None
        Why the file could not be run at all.
    printed : str
        The beginning of what the code printed.
    """

    answers: list
    broken: str | None = None
    printed: str = ""


def ask(text, path, calls, *, about, library="closed", hides=(), drivers=None, candidates=(), seconds=5.0,
        total_seconds=60.0, memory_mb=MEMORY_MB):  # fmt: skip
    """Run a learner's code in a child process and return what it gave.

    Parameters
    ----------
    text : str
        The code.
    path : Path
        Where it comes from, for messages; other files of that folder can be imported.
    calls : list of Request
    about : str
        What is checked, for messages.
    library : "closed", "open" or "free"
        Closed: the code cannot use tinymm. Open: it can, but for what `hides` lists. Free: all of it.
    drivers : dict of name -> source
    candidates : list of sources
        Each a function named ``candidate``; the driver `child.try_test` is called with them.
    seconds, total_seconds : float
        For one call, and for all. A call that takes longer is ended, and with it the child.

    Returns
    -------
    Run
        With one answer for each call.
    """
    token = secrets.token_hex(8)
    folder = Path(tempfile.mkdtemp(prefix="tinymm-check-"))
    package = lessons.package()
    request = {
        "text": text, "path": str(path), "about": about, "library": library, "hides": list(hides),
        "drivers": dict(drivers or {}), "candidates": list(candidates), "memory_mb": memory_mb,
        "cpu_seconds": int(total_seconds) + START_SECONDS,
        "calls": [[c.part, c.driver, list(c.args), dict(c.static)] for c in calls],
        "sys_path": [str(Path(path).resolve().parent), str(package.parent), *[p for p in sys.path if p]],
        "unread": [str(f) for f in ([package] if library == "closed" else [])
                   + ([lessons.folder()] if library != "free" else [])],
    }  # fmt: skip
    run = Run([Answer(error="it was not reached") for _ in calls])
    process = None
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", child.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, cwd=folder, env=_environment(token, folder), start_new_session=True,
        )  # fmt: skip
        frames = queue.Queue()
        threads = [threading.Thread(target=_feed, args=(process.stdin, child.pack(request)), daemon=True),
                   threading.Thread(target=_read, args=(process.stdout, frames), daemon=True)]  # fmt: skip
        for thread in threads:
            thread.start()
        _follow(run, frames, len(calls), seconds, total_seconds, process.pid)
        run.printed = _printed(folder)
        return run
    finally:
        if process is not None:
            _end(process, token)
            for thread in threads:
                thread.join(5)
            process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


def _environment(token, folder):
    kept = {k: v for k, v in os.environ.items() if k in KEPT}
    one = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "NUMBA", "VECLIB_MAXIMUM")}
    return {**kept, **one, "HOME": str(folder), "TMPDIR": str(folder), "TMP": str(folder), "TEMP": str(folder),
            "TINYMM_KERNELS": "numpy", "MPLBACKEND": "Agg", "TINYMM_CHECK": token}  # fmt: skip


def _feed(stream, data):
    try:
        with stream:
            stream.write(data)
    except OSError:  # the child has ended
        pass


def _read(stream, frames):
    """Put each frame into the queue; None at the end, or where the stream is no longer to be trusted."""
    left = child.MAX_ANSWER
    try:
        while True:
            head = stream.read(4)
            if len(head) < 4:
                break
            (length,) = struct.unpack("<I", head)
            left -= length
            if left < 0:
                frames.put(ValueError("more came out than can be an answer"))
                break
            data = stream.read(length)
            if len(data) < length:
                break
            frames.put(child.unpack(data))
    except (ValueError, OSError) as problem:
        frames.put(problem)
    frames.put(None)


def _follow(run, frames, n, seconds, total_seconds, pid):
    """Collect answers until the child has done all, has ended, or has run out of time."""
    begun, started, at = time.monotonic(), False, -1  # at: the call that is running; -1 while the file itself runs
    while True:
        wait = START_SECONDS if not started else min(seconds, total_seconds - (time.monotonic() - begun))
        frame = _next(frames, max(wait, 0.01), pid)
        if frame is _NOTHING:
            problem = f"it did not end within {wait:.3g} s" if started else "the child process did not start"
            frame = TimeoutError(problem)
        if frame is None:
            frame = EOFError("the process ended without an answer (exit, or out of memory)")
        if isinstance(frame, Exception):
            if at < 0:
                run.broken = str(frame)
            elif at < n:
                run.answers[at] = Answer(error=str(frame))
                for later in run.answers[at + 1 :]:
                    later.error = "it was not reached: an earlier call stopped the process"
            return
        if type(frame) is not dict:
            continue
        if "ready" in frame and not started:
            started, begun = True, time.monotonic()
        elif "loaded" in frame:
            at = max(at, 0)
        elif "broken" in frame:
            run.broken = str(frame["broken"])[:600]
            return
        elif frame.get("i") == at and at < n:
            error = frame.get("error")
            if error is None and "value" not in frame:
                error = "no answer"
            run.answers[at] = Answer(frame.get("value"), None if error is None else str(error)[:600],
                                     frame.get("wrote") is True)  # fmt: skip
            at += 1
            if at == n:
                return


_NOTHING = object()
PATIENCE = 10  # how many times as long a child may take that waits for a processor


def _next(frames, seconds, pid):
    """The next frame, or _NOTHING after so many seconds; where others keep the processors busy, so many of its own."""
    before = _spent(pid)
    for _ in range(PATIENCE):
        try:
            return frames.get(timeout=seconds)
        except queue.Empty:
            now = _spent(pid)
            if before is None or now is None or not now[1] or now[0] - before[0] >= 0.7 * seconds:
                break
    return _NOTHING


def _spent(pid):
    """(processor seconds used, whether it wants more) of a process; None where the system does not say. On Linux."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), fields[0] in "RD"
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _printed(folder):
    try:
        with open(folder / "printed.txt", encoding="utf-8", errors="replace") as file:
            return file.read(PRINTED)
    except OSError:
        return ""


def _end(process, token):
    """End the child and all that it has started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    process.kill()
    process.wait()
    for pid in _marked(token):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def _marked(token):
    """Processes whose environment carries the token: a child's children that have left its group. On Linux."""
    mark = f"TINYMM_CHECK={token}".encode()
    found = []
    try:
        numbers = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return found
    for number in numbers:
        try:
            with open(f"/proc/{number}/environ", "rb") as file:
                if mark in file.read():
                    found.append(int(number))
        except OSError:
            continue
    return found


def named(source, old, new):
    """The source of ``def old(...)`` or ``class old`` as one of `new`.

    Raises
    ------
    ValueError
        If there is no such definition.
    """
    renamed, count = re.subn(rf"^(def|class)\s+{re.escape(old)}\b", rf"\1 {new}", source, count=1, flags=re.MULTILINE)
    if count == 0:
        raise ValueError(f"no 'def {old}' at the start of a line; give a function of the file's top level, no lambda")
    return renamed
