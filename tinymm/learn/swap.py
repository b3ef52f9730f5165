"""`tinymm.use`: put a learner's functions and layers into the place of the library's.

    with tinymm.use("work/ex01.py"):
        lesson()        # every model in here runs on theirs

A name in the file takes the place of what the library has under that name:

=========== =========================================================================================================
op          ``def softmax(x, *, axis=-1)``: as in lesson 01, returning (y, (d_x,)); or a function of Tensors. Every
            fused op that contains it runs as its composition meanwhile.
kernel      a function of arrays that returns arrays, under the name of a kernel
layer       a class, under the name of a layer of `tinymm.nn`; it is built wherever a model says ``nn.NAME``
optimizer   a class, under the name of an optimizer of `tinymm.optim`
function    a name of `FUNCTIONS` below
=========== =========================================================================================================

Calls of both are counted and printed at the end. Leaving the block puts everything back.
"""

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import itertools
import sys
import types
from pathlib import Path

# Functions that can be replaced though they are neither op nor kernel: name -> module.
FUNCTIONS = {
    "unbroadcast": "tinymm.autograd.engine",
    "clip_grad_norm_": "tinymm.optim.clip",
    "clip_grad_value_": "tinymm.optim.clip",
    "cosine": "tinymm.optim.schedule",
    "linear_schedule": "tinymm.optim.schedule:linear",
    "noam": "tinymm.optim.schedule",
    "examples_of": "tinymm.models.word2vec",
    "hidden": "tinymm.models.word2vec",
    "negative_sampling_loss": "tinymm.models.word2vec",
    "hierarchical_softmax_loss": "tinymm.models.word2vec",
    "keep_table": "tinymm.models.word2vec",
    "count_cooccurrence": "tinymm.models.glove",
    "glove_loss": "tinymm.models.glove",
}
# What a kernel computes in a loop of its own, where no function can be put: name -> what to do.
INSIDE = {
    "negative_sampling_loss": "the kernel of Word2Vec.fit has its own loop; fit(corpus, readable=True) trains on yours",
    "hierarchical_softmax_loss": "the kernel of Word2Vec.fit has its own loop; fit(corpus, readable=True) trains on "
                                 "yours",
    "glove_loss": "the kernel of GloVe.fit has its own loop; glove.fit_readable trains on yours",
}  # fmt: skip
_numbers = itertools.count(1)


class SwapError(RuntimeError):
    """Nothing of the learner's ran, or the library's ran beside it."""


@dataclasses.dataclass
class Count:
    """How often theirs and the library's were called."""

    name: str
    kind: str
    yours: int = 0
    reference: int = 0

    def line(self):
        return f"{self.name} ({self.kind}): forward: yours x{self.yours}, reference x{self.reference}"


class use:  # noqa: N801  (it reads as a verb: with tinymm.use(...))
    """``with tinymm.use("work/ex01.py"):`` runs everything in the block on the functions and layers of that file.

    Parameters
    ----------
    source : path, module, dict of name -> function or class, or a list of these
    slots : dict of str -> str, optional
        Name in the file -> where it goes: "op:softmax", "kernel:softmax", "layer:LayerNorm", "optimizer:AdamW" or
        "MODULE:NAME". For a file of exercises their own slots count.
    only : sequence of str, optional
        Replace these names only; each of them must then be called.
    quiet : bool
        Print nothing.

    Attributes
    ----------
    counts : list of Count
    left : list of (str, str)
        Names that were not put anywhere, and why.

    Raises
    ------
    SwapError
        On entering: if nothing in the source has a place in the library. On leaving: if nothing of theirs was called,
        or the library's own was called instead of it.
    """

    def __init__(self, source, *, slots=None, only=None, quiet=False):
        self.source, self.only, self.quiet = source, only, quiet
        self.slots = dict(slots or {})
        self.counts, self.left, self._stack = [], [], None

    def __enter__(self):
        places = [(name, thing, *self._place(name, thing)) for name, thing in self._read().items()]
        with contextlib.ExitStack() as stack:
            ops = set()
            for name, thing, kind, place, why in places:
                if kind is None:
                    self.left.append((name, why))
                    continue
                count = Count(name, kind)
                stack.enter_context(_KINDS[kind](place, thing, count))
                self.counts.append(count)
                ops |= {place} if kind == "op" else set()
                if name in INSIDE:
                    self.left.append((name, INSIDE[name]))
            self._say(f"{', '.join(f'{c.name} ({c.kind})' for c in self.counts) or 'nothing'} taken from {self._label}")
            for name, why in self.left:
                self._say(f"not swapped{' everywhere' if name in INSIDE else ''}: {name}: {why}")
            if not self.counts:
                have = "; ".join(f"{name}: {why}" for name, why in self.left) or "it defines nothing"
                raise SwapError(f"use: nothing in {self._label} takes the place of anything in the library ({have})")
            if ops:
                stack.enter_context(_unfused(ops, self._say))
            for count in self.counts:  # finding out a function's form has called it
                count.yours = count.reference = 0
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind, problem, trace):
        self._stack.close()
        for count in self.counts:
            self._say(count.line())
        if kind is None:
            self.check()
        return False

    def check(self):
        """Raise if nothing of theirs was called, or the library's was where theirs should have been."""
        passed_by = [c.name for c in self.counts if c.reference and not c.yours]
        if passed_by:
            raise SwapError(f"use: {', '.join(passed_by)}: yours was never called, the library's own was")
        if not any(c.yours for c in self.counts):
            raise SwapError(f"use: nothing of {self._label} was called: what ran in the block does not use "
                            f"{', '.join(c.name for c in self.counts)}")  # fmt: skip
        silent = [c.name for c in self.counts if not c.yours]
        if silent and self.only:
            raise SwapError(f"use: {', '.join(silent)}: never called in the block")
        for name in silent:
            self._say(f"{name}: nothing in the block calls it")

    def _say(self, text):
        if not self.quiet:
            print(f"  use: {text}", flush=True)

    # ---- what the source holds -------------------------------------------------------------------------------------

    def _read(self):
        """The functions and classes of the source, or of all in a list of sources: name -> object."""
        found, labels = {}, []
        for source in self.source if isinstance(self.source, (list, tuple)) else [self.source]:
            if isinstance(source, dict):
                labels.append("the given functions")
                found.update(source)
                continue
            module = source if isinstance(source, types.ModuleType) else load(source)
            labels.append(module.__name__ if module is source else str(source))
            here = {name: thing for name, thing in vars(module).items() if not name.startswith("_")
                    and (inspect.isfunction(thing) or isinstance(thing, type) or hasattr(thing, "spec"))
                    and getattr(thing, "__module__", None) == module.__name__}  # fmt: skip
            twice = sorted(set(here) & set(found))
            if twice:
                raise SwapError(f"use: {', '.join(twice)} is in {labels[-1]} and in another file before it")
            found.update(here)
            self.slots = {**_slots_of(module), **self.slots}
        self._label = " and ".join(labels)
        if self.only is not None:
            missing = [name for name in self.only if name not in found]
            if missing:
                have = ", ".join(found) or "nothing"
                raise SwapError(f"use: {', '.join(missing)} is not in {self._label}; it has {have}")
            found = {name: found[name] for name in self.only}
        return found

    def _place(self, name, thing):
        """(kind, place, "") or (None, None, why not)."""
        from tinymm import kernels, nn, optim
        from tinymm.autograd.tensor import OPS

        if _is_stub(thing):
            return None, None, "still a stub"
        if name in self.slots:
            kind, _, place = self.slots[name].partition(":")
            return (kind, place, "") if kind in _KINDS else ("function", self.slots[name], "")
        if isinstance(thing, type):
            if name in nn.SLOTS:
                return "layer", name, ""
            if name in optim.__all__ and isinstance(getattr(optim, name), type):
                return "optimizer", name, ""
            return None, None, "no layer or optimizer of that name"
        if name in FUNCTIONS:
            module, _, original = FUNCTIONS[name].partition(":")
            return "function", f"{module}:{original or name}", ""
        if name in kernels.names() and (name not in OPS or _form(thing, OPS[name]) == "array"):
            return "kernel", name, ""
        if name in OPS:
            return "op", name, ""
        return None, None, "no op, kernel or function of that name"


def load(path):
    """A learner's file as a module.

    Raises
    ------
    FileNotFoundError
    SwapError
        If the file cannot be run.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; expected a Python file, e.g. of `tinymm start 1`")
    name = f"_work_{next(_numbers)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as problem:
        del sys.modules[name]
        line = f", line {problem.lineno}" if isinstance(problem, SyntaxError) else ""
        raise SwapError(f"{path}{line}: {type(problem).__name__}: {problem}") from problem
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _slots_of(module):
    """The slots that the exercises give for a file ``exNN.py``."""
    from tinymm.learn import homework, lessons

    stem = Path(getattr(module, "__file__", None) or "").stem
    found = {}
    for name in lessons.present():
        if stem == f"ex{name[:2]}" and homework.script(name).is_file():
            found = {e.name: e.slot for e in homework.load(name) if getattr(e, "slot", None)}
    return found


def _is_stub(thing):
    """Whether the body is nothing but a docstring and ``raise NotImplementedError``."""
    import ast
    import textwrap

    if isinstance(thing, type):
        methods = [f for f in vars(thing).values() if inspect.isfunction(f)]
        return bool(methods) and all(map(_is_stub, methods))
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0].body
    except (OSError, TypeError, SyntaxError, AttributeError, IndexError):
        return False
    body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return len(body) == 1 and isinstance(body[0], ast.Raise) and "NotImplementedError" in ast.unparse(body[0])


def _form(function, op):
    """How a function is written, found out on one of the op's samples: "op", "array" or "tensor"."""
    import numpy as np

    if hasattr(function, "spec"):
        return "made"
    samples = op.spec.samples(np.random.default_rng(0)) if op.spec.samples else []
    return _form_on(function, samples[0].args, samples[0].static) if samples else "op"


def _form_on(function, args, static):
    import numpy as np

    try:
        result = function(*[a.copy() if isinstance(a, np.ndarray) else a for a in args], **static)
    except Exception:
        return "tensor"
    if type(result) is tuple and len(result) == 2 and (
            callable(result[1]) or (type(result[1]) is tuple and all(v is None or callable(v) for v in result[1]))):
        return "op"
    return "array" if isinstance(result, (np.ndarray, np.generic)) else "tensor"


# ---- how each kind is put into place ---------------------------------------------------------------------------------


def _counted(function, count, which):
    @functools.wraps(function)
    def counted(*args, **static):
        setattr(count, which, getattr(count, which) + 1)
        return function(*args, **static)

    return counted


def _theirs(function, library, count):
    """Call theirs and count it; what theirs itself asks for under that name is the library's."""
    inside = False

    @functools.wraps(function)
    def called(*args, **static):
        nonlocal inside
        if inside:
            return library(*args, **static)
        inside = True
        count.yours += 1
        try:
            return function(*args, **static)
        finally:
            inside = False

    return called


@contextlib.contextmanager
def _op(name, theirs, count):
    from tinymm.autograd.op import Spec, _make_apply
    from tinymm.autograd.tensor import OPS

    if name not in OPS:
        raise SwapError(f"use: there is no op {name!r}")
    spec = OPS[name].spec
    before = spec.override, spec.function
    library = _counted(before[0] or _make_apply(Spec(before[1], None, None, (), None)), count, "reference")
    if theirs is OPS[name]:
        run = library
    elif _form(theirs, OPS[name]) == "op":
        run = _make_apply(Spec(theirs, None, None, (), None))
    else:
        run = theirs
    spec.override = _theirs(run, library, count)
    spec.function = _counted(before[1], count, "reference")
    try:
        yield
    finally:
        spec.override, spec.function = before


@contextlib.contextmanager
def _unfused(names, say):
    """Every fused op that contains one of `names`, directly or through others, runs as its composition."""
    from tinymm.autograd.tensor import OPS

    inside, before = set(names), {}
    while True:
        more = {n for n, op in OPS.items() if n not in inside and inside.intersection(op.spec.fuses)}
        if not more:
            break
        inside |= more
    try:
        for name in sorted(inside - set(names)):
            spec = OPS[name].spec
            if spec.override is not None:
                continue
            if spec.composition is None:
                say(f"not swapped inside {name}, which is fused and has no composition")
                continue
            before[name] = spec.override
            spec.override = spec.composition
            say(f"{name} contains it and runs as its composition")
        yield
    finally:
        for name, override in before.items():
            OPS[name].spec.override = override


@contextlib.contextmanager
def _everywhere(original, replacement):
    """Put `replacement` wherever a module of tinymm holds `original`."""
    places = [(module, key) for module in list(sys.modules.values())
              if getattr(module, "__name__", "").partition(".")[0] == "tinymm"
              for key, value in list(vars(module).items()) if value is original]  # fmt: skip
    try:
        for module, key in places:
            setattr(module, key, replacement)
        yield
    finally:
        for module, key in places:
            setattr(module, key, original)


@contextlib.contextmanager
def _function(place, theirs, count):
    module, _, name = place.partition(":")
    original = getattr(importlib.import_module(module), name)
    library = original if _countable(original) else _counted(original, count, "reference")
    with _counting_code(original, count), _everywhere(original, _theirs(_on_tensors(theirs), library, count)):
        yield


def _on_tensors(theirs):
    """Where the library calls it with Tensors, a function that is written as an op becomes one."""
    from tinymm.autograd.op import Spec, _make_apply
    from tinymm.autograd.tensor import Tensor

    made = []

    @functools.wraps(theirs)
    def run(*args, **static):
        if not any(type(a) is Tensor for a in args):
            return theirs(*args, **static)
        if not made:
            form = _form_on(theirs, [a.numpy() if type(a) is Tensor else a for a in args], static)
            made.append(_make_apply(Spec(theirs, None, None, (), None)) if form == "op" else theirs)
        return made[0](*args, **static)

    return run


def _countable(function):
    return inspect.isfunction(function) and not function.__closure__


@contextlib.contextmanager
def _counting_code(function, count):
    """Count calls of a function by whoever still holds it: its code is exchanged for one that counts."""
    if not _countable(function):
        yield
        return
    code, defaults, kwdefaults = function.__code__, function.__defaults__, function.__kwdefaults__
    inner = types.FunctionType(code, function.__globals__, function.__name__, defaults, function.__closure__)
    inner.__kwdefaults__ = kwdefaults
    key = f"__swap_{next(_numbers)}"
    function.__globals__[key] = _counted(inner, count, "reference")
    space = {}
    exec(f"def {function.__name__}(*args, **static):\n    return {key}(*args, **static)\n", space)
    function.__defaults__ = function.__kwdefaults__ = None
    function.__code__ = space[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__, function.__defaults__, function.__kwdefaults__ = code, defaults, kwdefaults
        del function.__globals__[key]


@contextlib.contextmanager
def _kernel(name, theirs, count):
    """Also while the block itself changes the backend (`kernels.use`)."""
    from tinymm import kernels

    if name not in kernels.names():
        raise SwapError(f"use: there is no kernel {name!r}")
    module = kernels.names()[name]
    plain = getattr(importlib.import_module(f"tinymm.kernels.plain.{module}"), name)
    library = plain if _countable(plain) else _counted(plain, count, "reference")
    counted, use_before = _theirs(theirs, library, count), kernels.use

    def put():
        if kernels.backend() == "numba":  # else the module's kernels would be put in place at the first call of any
            compiled = importlib.import_module(f"tinymm.kernels.compiled.{module}")
            for other, where in kernels.names().items():
                if where == module and getattr(vars(kernels)[other], "__qualname__", "").startswith("_on_first_call"):
                    setattr(kernels, other, getattr(compiled, other))
        setattr(kernels, name, counted)

    def use_and_put(backend):
        use_before(backend)
        put()

    with contextlib.ExitStack() as stack:
        stack.enter_context(_counting_code(plain, count))
        if kernels.backend() == "numba":
            compiled = importlib.import_module(f"tinymm.kernels.compiled.{module}")
            stack.enter_context(_counting_code(getattr(compiled, name), count))
        kernels.use = use_and_put
        put()
        try:
            yield
        finally:
            kernels.use = use_before
            use_before(kernels.backend())


@contextlib.contextmanager
def _layer(name, theirs, count):
    from tinymm import nn

    if name not in nn.SLOTS:
        raise SwapError(f"use: there is no layer {name!r}")
    original = nn.SLOTS[name]
    kind = type(theirs.__name__, (theirs,), {"__module__": theirs.__module__, "__doc__": theirs.__doc__,
                                             "forward": _counted(theirs.forward, count, "yours")})  # fmt: skip
    with _method(original, "forward", count), nn.using(**{name: kind}):
        yield


@contextlib.contextmanager
def _optimizer(name, theirs, count):
    from tinymm import optim

    original = getattr(optim, name)
    kind = type(theirs.__name__, (theirs,), {"__module__": theirs.__module__, "__doc__": theirs.__doc__,
                                             "step": _counted(theirs.step, count, "yours")})  # fmt: skip
    with _method(original, "step", count), _everywhere(original, kind):
        yield


@contextlib.contextmanager
def _method(kind, name, count):
    """Count the calls of a class's own method, by its instances that are not of a learner's class."""
    own = name in vars(kind)
    before = getattr(kind, name)

    @functools.wraps(before)
    def counted(self, *args, **static):
        if type(self) is kind:
            count.reference += 1
        return before(self, *args, **static)

    setattr(kind, name, counted)
    try:
        yield
    finally:
        if own:
            setattr(kind, name, before)
        else:
            delattr(kind, name)


_KINDS = {"op": _op, "kernel": _kernel, "layer": _layer, "optimizer": _optimizer, "function": _function}
