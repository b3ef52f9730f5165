"""`Tensor`: a NumPy array that remembers how it was computed.

A tensor is a thin box around one array. What makes it more is `node`, the place in the graph where it was made
(`engine.py` walks that graph), and a version: the time of the last write into the array, shared with its views, so
that a gradient that still needs the old values can notice.

The functions themselves live in `tinymm.ops`. The methods and operators here look them up in `OPS` when they are
called, so that an op that is replaced (`tinymm.use`) is replaced everywhere.
"""

import contextlib
import inspect
import itertools

import numpy as np

OPS = {}  # name -> op, filled by tinymm.autograd.op.op
CLOCK = itertools.count(1)  # ticks with every recorded op and every write: tells what came first


class _Mode:
    """What the engine is doing now; one object, read on every op."""

    __slots__ = ("recording", "anomaly", "last_write")


MODE = _Mode()
MODE.recording = True
MODE.anomaly = False
MODE.last_write = 0  # the time (CLOCK) of the last write into any tensor


@contextlib.contextmanager
def no_grad():
    """Inside ``with no_grad():`` nothing is recorded: results do not require a gradient and keep nothing alive."""
    before = MODE.recording
    MODE.recording = False
    try:
        yield
    finally:
        MODE.recording = before


@contextlib.contextmanager
def enable_grad():
    """Record again, inside a `no_grad` block."""
    before = MODE.recording
    MODE.recording = True
    try:
        yield
    finally:
        MODE.recording = before


class Tensor:
    """An array with a gradient.

    Parameters
    ----------
    data : array_like
        Copied. Python lists become what NumPy makes of them: float64, or int64.
    requires_grad : bool
        Whether `backward` shall leave a gradient in `grad`. Only for float32 and float64.
    dtype : optional
        As for `numpy.array`.

    Attributes
    ----------
    data : ndarray
        A read-only view of the values. To write, use ``t[...] = x`` or `assign`, under `no_grad` for a parameter.
    grad : ndarray or None
        For a leaf that requires a gradient: the sum of all gradients that have reached it. Its own array, contiguous.
    requires_grad : bool
    node : Node or None
        None for a leaf: a tensor that was made by hand.
    written : int
        The time (`CLOCK`) of the last write into the array. A computed tensor keeps it in its node, a view in what it
        is a view of.
    rare : dict or None
        What few tensors have: "hooks" of a leaf, and "view of".

    Raises
    ------
    TypeError
        If `data` is not numeric, or requires a gradient and is not float32 or float64.
    """

    __slots__ = ("_array", "requires_grad", "grad", "node", "written", "rare", "__weakref__")

    def __init__(self, data, requires_grad=False, dtype=None):
        if type(data) is Tensor:
            data = data._array
        try:
            array = np.array(data, dtype=dtype, order="C")
        except ValueError as error:
            raise TypeError(f"Tensor: no array can be made of this data ({error}); expected numbers") from None
        if array.dtype.kind not in "fiub":
            raise TypeError(f"Tensor: dtype {array.dtype} is not numeric; expected floats, integers or booleans")
        _need_floats(array, requires_grad)
        self._array = array
        self.requires_grad = bool(requires_grad)
        self.grad = None
        self.node = None
        self.written = 0
        self.rare = None

    # ---- the array --------------------------------------------------------------------------------------------------

    @property
    def data(self):
        view = self._array.view()
        view.flags.writeable = False
        return view

    def numpy(self):
        """A copy of the values, free to write into."""
        return self._array.copy()

    def __array__(self, dtype=None, copy=None):
        if copy:
            return self._array.astype(dtype or self._array.dtype, copy=True)
        return self.data if dtype is None or dtype == self._array.dtype else self._array.astype(dtype)

    @property
    def shape(self):
        return self._array.shape

    @property
    def dtype(self):
        return self._array.dtype

    @property
    def ndim(self):
        return self._array.ndim

    @property
    def size(self):
        return self._array.size

    @property
    def T(self):
        """The transpose: all axes reversed, as in NumPy."""
        return OPS["transpose"](self)

    @property
    def mT(self):
        """The last two axes exchanged, as in NumPy."""
        return OPS["swapaxes"](self, axis1=-1, axis2=-2)

    def item(self):
        """The value of a tensor of one element, as a Python number."""
        return self._array.item()

    def tolist(self):
        return self._array.tolist()

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        if self._array.ndim == 0:
            raise TypeError("iteration over a scalar Tensor; use t.item() for its value")
        return (self[i] for i in range(len(self._array)))

    def __bool__(self):
        return bool(self._array)

    def __float__(self):
        return float(self._array)

    def __int__(self):
        return int(self._array)

    def __index__(self):
        return self._array.__index__()

    def __repr__(self):
        body = np.array2string(self._array, separator=", ", prefix="Tensor(")
        dtype = "" if self._array.dtype in (np.float64, np.int64, np.bool_) else f", dtype={self._array.dtype}"
        if self.node is not None:
            return f"Tensor({body}{dtype}, op={self.node.name})"
        return f"Tensor({body}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    # ---- the graph --------------------------------------------------------------------------------------------------

    def backward(self, gradient=None, retain_graph=False):
        """Add d self / d leaf to ``leaf.grad`` for every leaf below this tensor. See `tinymm.autograd.backward`."""
        from tinymm.autograd.engine import backward

        backward(self, gradient, retain_graph)

    def detach(self):
        """The same values (shared, not copied) with no history. A write into either is seen, and noticed, by both."""
        detached = _wrap(self._array)
        detached.rare = {"view of": self._owner()}
        return detached

    def zero_grad(self):
        """Forget the gradient."""
        self.grad = None

    def requires_grad_(self, requires_grad=True):
        """Turn the gradient of a leaf on or off, and return the leaf.

        Raises
        ------
        RuntimeError
            If the tensor was computed: detach it first.
        """
        if self.node is not None:
            raise RuntimeError("requires_grad_: only a leaf can be changed; this tensor was computed. Try t.detach()")
        _need_floats(self._array, requires_grad)
        self.requires_grad = bool(requires_grad)
        return self

    def register_hook(self, hook):
        """Call ``hook(gradient)`` when this tensor's gradient is complete; what it returns (if not None) replaces it.

        Returns
        -------
        callable
            Call it to remove the hook.
        """
        if not self.requires_grad:
            raise RuntimeError("register_hook: this tensor does not require a gradient")
        place = self.node or self
        if place.rare is None:
            place.rare = {}
        hooks = place.rare.setdefault("hooks", [])
        hooks.append(hook)
        return lambda: hooks.remove(hook) if hook in hooks else None

    def retain_grad(self):
        """Keep the gradient of a computed tensor in `grad` too."""
        if self.node is not None:
            import weakref

            me = weakref.ref(self)

            def keep(gradient):
                tensor = me()
                if tensor is not None:
                    tensor.grad = gradient.copy() if tensor.grad is None else tensor.grad + gradient

            self.register_hook(keep)
        return self

    # ---- writing ----------------------------------------------------------------------------------------------------

    def __setitem__(self, index, value):
        self._check_writeable()
        if type(index) is Tensor:
            index = index._array
        self._array[index] = value._array if type(value) is Tensor else value
        self.mark_written()

    def assign(self, values):
        """Overwrite all values in place (the shape must be the same), and return the tensor."""
        self._check_writeable()
        values = values._array if type(values) is Tensor else np.asarray(values)
        if values.shape != self._array.shape:
            raise ValueError(f"assign: values have shape {values.shape}; expected {self._array.shape}")
        np.copyto(self._array, values, casting="same_kind")
        self.mark_written()
        return self

    def mark_written(self):
        """Say that the array has been written to from outside, as optimizers do."""
        self._owner().written = MODE.last_write = next(CLOCK)

    def _owner(self):
        """What keeps the time of the last write: this tensor's node, or the leaf, or those of what it is a view of."""
        place = self.node or self
        return place if place.rare is None else place.rare.get("view of", place)

    def _check_writeable(self):
        if MODE.recording and self.requires_grad:
            kind = "requires a gradient" if self.node is None else f"was computed by {self.node.name}"
            raise RuntimeError(
                f"a write into a tensor that {kind} would not be differentiated. "
                "Write under `with tinymm.no_grad():`, or compute a new tensor (tinymm.where, tinymm.concatenate)"
            )

    # ---- NumPy's protocols: np.exp(t), np.concatenate([t, u]), array * t --------------------------------------------

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method == "__call__" and not kwargs.get("out"):
            if ufunc.__name__ in _COMPARISONS:
                return ufunc(*[x._array if type(x) is Tensor else x for x in inputs], **kwargs)
            name = _UFUNC_NAMES.get(ufunc.__name__, ufunc.__name__)
            if name in OPS:
                return OPS[name](*inputs, **kwargs)
        if kwargs.get("out"):
            raise TypeError(f"np.{ufunc.__name__}(out=Tensor) would write into it unseen; use t.assign(...)")
        name = ufunc.__name__
        raise TypeError(f"np.{name} has no gradient here; use np.{name}(t.data) for the values alone")

    def __array_function__(self, function, types, args, kwargs):
        name = _FUNCTION_NAMES.get(function.__name__, function.__name__)
        if name in OPS:
            return _call_as_numpy(OPS[name], function, args, kwargs)
        if name in ("shape", "ndim", "size", "array_repr", "array_str", "may_share_memory", "shares_memory", "argmax",
                    "argmin", "argsort", "allclose", "array_equal", "isclose", "zeros_like", "ones_like", "empty_like",
                    "full_like", "result_type", "any", "all", "nonzero", "unique", "can_cast"):
            return function(*_arrays(args), **_arrays(kwargs))
        raise TypeError(f"np.{name} has no gradient here; use np.{name}(t.data) for the values alone")


_FUNCTION_NAMES = {"amax": "max", "amin": "min", "ravel": "flatten"}
_ARGUMENT_NAMES = {"a_min": "min", "a_max": "max"}


def _call_as_numpy(op, function, args, kwargs):
    """Call an op as NumPy's `function` is called: what NumPy takes in order and the op by keyword gets its name."""
    if op.spec.name == "einsum":
        return op(*args[1:], subscripts=args[0])
    given = inspect.signature(function).bind(*args, **kwargs)
    given = {**given.arguments, **given.arguments.get("kwargs", {})}
    given.pop("kwargs", None)
    if op.spec.name == "norm":
        kind, x = given.pop("ord", None), given["x"]
        if kind is not None and not (kind == "fro" and x.ndim == 2):
            if x.ndim > 1 and not isinstance(given.get("axis"), int):
                raise TypeError("np.linalg.norm: the norm of a matrix by `ord` has no gradient here; only ord=None has")
            given["ord"] = kind
    defaults = inspect.signature(function).parameters
    names = list(given)[:1 if op.spec.variadic else len(op.spec.names)]
    static = {
        _ARGUMENT_NAMES.get(name, name): value for name, value in given.items()
        if name not in names and not (name in defaults and value is defaults[name].default)
    }
    return op(*[given[name] for name in names], **static)


def _arrays(x):
    """`x` with every Tensor in it replaced by its array."""
    if type(x) is Tensor:
        return x.data
    if isinstance(x, (tuple, list)):
        return type(x)(_arrays(i) for i in x)
    if isinstance(x, dict):
        return {k: _arrays(v) for k, v in x.items()}
    return x


def _need_floats(array, requires_grad):
    if requires_grad and array.dtype not in (np.float32, np.float64):
        raise TypeError(f"a tensor of dtype {array.dtype} cannot require a gradient; expected float32 or float64")


_new = Tensor.__new__


def _wrap(array):
    """A leaf around `array` itself, without a copy: for results, which nobody else holds."""
    tensor = _new(Tensor)
    tensor._array = array
    tensor.requires_grad = False
    tensor.grad = tensor.node = tensor.rare = None
    tensor.written = 0
    return tensor


# ---- operators and methods -----------------------------------------------------------------------------------------

_UFUNC_NAMES = {"absolute": "abs", "true_divide": "divide"}
_COMPARISONS = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "isnan", "isfinite", "isinf",
                "logical_and", "logical_or", "logical_not"}


def _operator(name, reflected=False):
    if reflected:
        def method(self, other):
            return OPS[name](other, self)
    else:
        def method(self, other):
            return OPS[name](self, other)
    return method


for _name, _op in (("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("truediv", "divide"), ("pow", "power"),
                   ("matmul", "matmul")):
    setattr(Tensor, f"__{_name}__", _operator(_op))
    setattr(Tensor, f"__r{_name}__", _operator(_op, reflected=True))


def _comparison(name):
    def method(self, other):
        return getattr(self._array, name)(other._array if type(other) is Tensor else other)
    return method


for _name in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"):
    setattr(Tensor, _name, _comparison(_name))
Tensor.__hash__ = object.__hash__
Tensor.__neg__ = lambda self: OPS["negative"](self)
Tensor.__pos__ = lambda self: self
Tensor.__abs__ = lambda self: OPS["abs"](self)
Tensor.__getitem__ = lambda self, index: OPS["getitem"](self, index=index)


def _method(name):
    def method(self, *args, **kwargs):
        op = OPS[name]
        if args:  # t.swapaxes(0, 1): what is static goes by name
            n = len(op.spec.names) - 1
            kwargs.update(zip(op.spec.static, args[n:]))
            args = args[:n]
        return op(self, *args, **kwargs)
    method.__name__ = name
    return method


_ELEMENTWISE = ("exp", "log", "sqrt", "abs", "sign", "square", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sigmoid",
                "relu", "clip", "softmax", "log_softmax", "flatten", "swapaxes", "squeeze", "expand_dims", "take",
                "astype", "moveaxis", "repeat", "roll", "flip", "dot")
_REDUCTIONS = ("sum", "mean", "var", "std", "max", "min", "prod", "logsumexp", "cumsum")
for _name in _ELEMENTWISE:
    setattr(Tensor, _name, _method(_name))


def _reduction(name):
    def method(self, axis=None, **kwargs):
        return OPS[name](self, axis=axis, **kwargs)
    method.__name__ = name
    return method


for _name in _REDUCTIONS:
    setattr(Tensor, _name, _reduction(_name))


def _shape_method(name, keyword):
    def method(self, *args, **kwargs):
        if args:
            kwargs[keyword] = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        return OPS[name](self, **kwargs)
    method.__name__ = name
    return method


Tensor.reshape = _shape_method("reshape", "shape")
Tensor.transpose = _shape_method("transpose", "axes")
Tensor.permute = _shape_method("permute", "dims")
Tensor.broadcast_to = _shape_method("broadcast_to", "shape")
