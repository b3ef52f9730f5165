"""The process in which a learner's code runs when it is checked.

A script of its own that needs nothing of tinymm. It gets a request on its standard input, runs the calls asked for,
and answers each on its standard output: arrays and numbers, nothing else, and no verdict. The parent (`checker.py`)
holds the reference and judges. So whatever the code here does to itself, to `assert` or to NumPy, it can only give
wrong arrays.

What is held back here (files outside of the working folder, new processes, the network, the library's own source) is
held back so that a mistake does no damage and an answer is the learner's own. It is no security boundary.
"""

import io
import json
import os
import struct
import sys
import time
import traceback
import types

import numpy as np

MAX_ANSWER = 1 << 26  # bytes that one child may answer


# ---- arrays on a wire ------------------------------------------------------------------------------------------------


def pack(value):
    """Numbers, strings, None and arrays, in lists, tuples and dicts, as bytes. No pickle.

    Raises
    ------
    TypeError
        For anything else.
    """
    arrays = []
    text = json.dumps(_encode(value, arrays), separators=(",", ":")).encode()
    heads = json.dumps([[a.dtype.str, a.shape] for a in arrays]).encode()
    parts = [struct.pack("<II", len(text), len(heads)), text, heads, *[a.tobytes() for a in arrays]]
    return b"".join(parts)


def _encode(value, arrays):
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value).__name__ == "Tensor":
        value = np.asarray(value)
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        if array.dtype.kind not in "fiubc":
            raise TypeError(f"an array of {array.dtype} came out; expected numbers")
        arrays.append(array)
        return {"a": len(arrays) - 1}
    if isinstance(value, (list, tuple)):
        return {"t" if isinstance(value, tuple) else "l": [_encode(v, arrays) for v in value]}
    if isinstance(value, dict):
        return {"d": [[str(k), _encode(v, arrays)] for k, v in value.items()]}
    raise TypeError(f"a {type(value).__name__} came out; expected arrays or numbers")


def unpack(data):
    """The inverse of `pack`.

    Raises
    ------
    ValueError
        If the bytes are anything that `pack` would not write.
    """
    try:
        n, m = struct.unpack_from("<II", data)
        tree = json.loads(data[8 : 8 + n])
        arrays, at = [], 8 + n + m
        for kind, shape in json.loads(data[8 + n : at]):
            dtype = np.dtype(str(kind))
            count = 1
            for length in shape:
                count *= int(length)
            if dtype.kind not in "fiubc" or min(shape, default=0) < 0 or at + count * dtype.itemsize > len(data):
                raise ValueError("not an array of numbers")
            arrays.append(np.frombuffer(data, dtype, count, at).reshape(shape).copy())
            at += count * dtype.itemsize
        return _decode(tree, arrays)
    except (ValueError, TypeError, KeyError, IndexError, struct.error, RecursionError, OverflowError) as problem:
        raise ValueError(f"the answer cannot be read: {problem}") from None


def _decode(tree, arrays):
    if type(tree) is not dict:
        return tree
    ((kind, inner),) = tree.items()
    if kind == "a":
        return arrays[inner]
    if kind == "d":
        return {key: _decode(v, arrays) for key, v in inner}
    values = [_decode(v, arrays) for v in inner]
    return tuple(values) if kind == "t" else values


# ---- what is done with the learner's function ------------------------------------------------------------------------


def call(f, *args, **static):
    """Call a function or build a class's instance; what comes out is compared."""
    return f(*args, **static)


def call_op(f, args, static, g):
    """An op as lesson 01 writes it: the output, and each VJP at the cotangent `g` (None where there is no VJP)."""
    y, vjps = f(*args, **static)
    if callable(vjps):
        return y, tuple(vjps(g, (True,) * len(args)))
    if not isinstance(vjps, tuple):
        raise TypeError("expected (y, (d_x, ...)): one VJP for each positional argument, in a tuple")
    if len(vjps) != len(args):
        raise TypeError(f"{len(vjps)} VJPs came back; expected {len(args)}, one for each positional argument")
    return y, tuple(None if vjp is None else np.asarray(vjp(g)) for vjp in vjps)


def differentiate(f, args, static, g, points):
    """`call_op`, and the output alone at other points: a list of (position of the argument, its array there)."""
    outputs = []
    for place, array in points:
        moved = [array if i == place else a for i, a in enumerate(args)]
        outputs.append(np.asarray(f(*moved, **static)[0]))
    return call_op(f, args, static, g), outputs


def try_test(f, order):
    """Run a learner's test `f` on candidates: "passes", "fails" (an AssertionError), or what else it raised."""
    outcomes = []
    for candidate in order:
        try:
            f(candidate)
            outcomes.append("passes")
        except AssertionError:
            outcomes.append("fails")
        except Exception as problem:
            outcomes.append(_said(problem))
    return outcomes


DRIVERS = {"call": call, "call_op": call_op, "differentiate": differentiate, "try_test": try_test}


# ---- limits ----------------------------------------------------------------------------------------------------------


def limit(memory_mb, cpu_seconds):
    """Memory, processor time, processes and file sizes, on systems that have such limits."""
    try:
        import resource
    except ImportError:
        return
    for name, value in (("RLIMIT_AS", memory_mb << 20), ("RLIMIT_CPU", cpu_seconds), ("RLIMIT_NPROC", 0),
                        ("RLIMIT_FSIZE", 16 << 20), ("RLIMIT_CORE", 0)):  # fmt: skip
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, ValueError, OSError):
            continue  # not on this system


PROCESSES = ("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "os.kill",
             "os.killpg", "subprocess.Popen", "pty.spawn", "signal.pthread_kill")  # fmt: skip
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link", "os.symlink",
           "os.truncate", "os.utime", "os.setxattr", "os.removexattr", "os.chflags", "shutil.rmtree", "shutil.move",
           "shutil.copyfile", "shutil.copytree", "shutil.make_archive", "sqlite3.connect")  # fmt: skip


def guard(folder, unread, about):
    """From now on: no new process, no network, no write outside of `folder`, no read below the folders `unread`."""
    realpath, fspath, fsdecode, devnull = os.path.realpath, os.fspath, os.fsdecode, os.devnull
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    root = realpath(folder) + os.sep
    unread = tuple(realpath(f) + os.sep for f in unread)

    def place(path):
        return realpath(fsdecode(fspath(path)))

    def hook(event, args):
        if event == "open":
            path, mode, flags = args
            if isinstance(path, int):
                return
            where = place(path)
            if (mode and set(mode) & set("wax+")) or (flags or 0) & writing:
                if not where.startswith(root) and where != devnull:
                    raise PermissionError(f"while {about} is checked, nothing may be written outside of its folder")
            elif where.startswith(unread):
                raise PermissionError(f"while {about} is checked, the library's own code is closed: write it yourself")
        elif event in PROCESSES:
            raise PermissionError(f"while {about} is checked, no process may be started or signalled ({event})")
        elif event.startswith(("socket.connect", "socket.bind", "socket.send", "socket.getaddrinfo")):
            raise PermissionError(f"while {about} is checked, there is no network")
        elif event in CHANGES:
            for path in args:
                if isinstance(path, (str, bytes, os.PathLike)) and not place(path).startswith(root):
                    raise PermissionError(f"while {about} is checked, nothing may change outside of its folder")

    sys.addaudithook(hook)


class _Closed:
    """Stands for everything of a library that is closed: it can be imported, and says so when it is used."""

    def __init__(self, message):
        self.__dict__["message"] = message

    def _refuse(self, *args, **kwargs):
        raise PermissionError(self.__dict__["message"])

    __call__ = __getitem__ = __iter__ = __add__ = __mul__ = __enter__ = __mro_entries__ = _refuse

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Closed(self.message)


class _ClosedModule(types.ModuleType):
    def __getattr__(self, name):
        if name == "__path__":
            return []
        if name.startswith("__"):
            raise AttributeError(name)
        return _Closed(self.__dict__["message"])


def close_library(about):
    """``import tinymm`` goes through, so that a file may hold other code too; to use it raises."""
    import importlib.machinery

    message = f"{about} is checked without tinymm: write it with NumPy alone"

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.partition(".")[0] == "tinymm":
                return importlib.machinery.ModuleSpec(name, Loader, is_package=True)

    class Loader:
        @staticmethod
        def create_module(spec):
            module = _ClosedModule(spec.name)
            module.__dict__["message"] = message
            return module

        @staticmethod
        def exec_module(module):
            pass

    sys.meta_path.insert(0, Finder)


def hide(names, about):
    """Put a function that refuses in the place of parts of the library: "op:NAME", "kernel:NAME", "MODULE:NAME".

    The library itself may go on calling what is given as MODULE:NAME; the learner may not.
    """
    import importlib

    for entry in names:
        where, _, name = entry.partition(":")
        message = f"while {about} is checked, the library's {name} is closed: write it yourself"

        def refuse(*args, message=message, **static):
            raise PermissionError(message)

        if where == "op":
            import tinymm.ops  # noqa: F401
            from tinymm.autograd.tensor import OPS

            OPS[name].spec.override = OPS[name].spec.function = refuse
        elif where == "kernel":
            from tinymm import kernels

            module = importlib.import_module(f"tinymm.kernels.plain.{kernels.names()[name]}")
            setattr(kernels, name, refuse)
            setattr(module, name, refuse)
        else:
            original = getattr(importlib.import_module(where), name)
            if isinstance(original, type):
                closed = type(name, (), {"__init__": refuse, "__init_subclass__": classmethod(refuse)})
            else:
                def closed(*args, original=original, refuse=refuse, **static):
                    caller = sys._getframe(1).f_globals.get("__name__", "")
                    return (original if caller.startswith("tinymm.") else refuse)(*args, **static)
            for module in [m for key, m in sys.modules.items() if key.partition(".")[0] == "tinymm"]:
                for key in [k for k, v in vars(module).items() if v is original]:
                    setattr(module, key, closed)


# ---- the run ---------------------------------------------------------------------------------------------------------


def _said(problem, path=None):
    """An error on one line, with the line of the learner's file where it happened."""
    line = 0
    for frame, at in traceback.walk_tb(problem.__traceback__):
        if frame.f_code.co_filename == path:
            line = at
    if isinstance(problem, SyntaxError) and problem.filename == path:
        line = problem.lineno or 0
    try:
        text = problem.msg if isinstance(problem, SyntaxError) else str(problem)
    except Exception:
        text = ""
    name = type(problem).__name__
    if isinstance(problem, SystemExit):
        name, text = "exit", "the code ended the program"
    where = f"line {line}: " if line else ""
    return f"{where}{name}: {' '.join(str(text).split())}"[:600]


def _copied(value):
    """Copies of all arrays in a nest of lists and dicts, in order."""
    if isinstance(value, np.ndarray):
        return [value.copy()]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [a for v in value for a in _copied(v)]
    return []


def _same(before, after):
    return len(before) == len(after) and all(
        a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(before, after)
    )


def main():
    """Read the request, run it, answer."""
    source = sys.stdin.buffer
    request = unpack(source.read())
    channel = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    printed = os.open("printed.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    sys.stdin = io.StringIO()
    sys.stdout = sys.stderr = os.fdopen(1, "w", encoding="utf-8", errors="replace", closefd=False, buffering=1)
    write, length = os.write, struct.Struct("<I").pack

    def send(message):
        data = pack(message)
        data = memoryview(length(len(data)) + data)
        while data:
            data = data[write(channel, data) :]

    path, about = request["path"], request["about"]
    limit(request["memory_mb"], request["cpu_seconds"])
    sys.path[:] = request["sys_path"]
    if request["library"] == "closed":
        close_library(about)
    elif request["library"] == "open" and request["hides"]:
        hide(request["hides"], about)

    drivers, candidates = dict(DRIVERS), []
    for name, text in request["drivers"].items():
        space = {"np": np, "__name__": "drivers"}
        exec(compile(text, f"<{name}>", "exec"), space)
        drivers[name] = space[name]
    for text in request["candidates"]:
        space = {"np": np, "__name__": "candidates"}
        exec(compile(text, "<candidate>", "exec"), space)
        candidates.append(space["candidate"])
    guard(os.getcwd(), request["unread"], about)
    send({"ready": True})

    module = types.ModuleType("work")
    module.__file__ = path
    sys.modules["work"] = module
    try:
        exec(compile(request["text"], path, "exec"), vars(module))
    except BaseException as problem:
        send({"broken": _said(problem, path)})
        return
    send({"loaded": True})
    for i, (part, driver, args, static) in enumerate(request["calls"]):
        before = _copied((args, static))
        answer = {"i": i}
        started = time.perf_counter()
        try:
            if part not in vars(module):
                raise NameError(f"{part} is not in the file")
            given = [[candidates[k] for k in args[0]]] if driver == "try_test" else args
            answer["value"] = drivers[driver](vars(module)[part], *given, **static)
            answer["wrote"] = not _same(before, _copied((args, static)))
            answer["seconds"] = time.perf_counter() - started
            pack(answer)
        except BaseException as problem:
            answer = {"i": i, "error": _said(problem, path)}
        send(answer)
    send({"done": True})


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
