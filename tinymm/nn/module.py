"""`Module`: a part of a model, which knows its parameters and its parts.

A parameter is a plain `Tensor` with ``requires_grad=True``. Assigning one to an attribute registers it, and so does
assigning a `Module`; nothing else is needed, not even ``super().__init__()``::

    class Scale(nn.Module):
        def __init__(self, size):
            self.weight = nn.Parameter(np.ones(size, np.float32))

        def forward(self, x):
            return x * self.weight

Layer slots. Every layer of `tinymm.nn` has a slot of its class's name. ``with nn.using(LayerNorm=Mine):`` puts another
class into a slot, and every model built in the block then gets a `Mine` wherever its code says `nn.LayerNorm`.
"""

import contextlib

import numpy as np

from tinymm.autograd.tensor import Tensor

SLOTS = {}  # name -> the layer class of tinymm.nn, filled as the classes are defined
_TABLES = ("_parameters", "_buffers", "_modules")
_replaced = {}  # layer class -> the class that is built in its place, see `using`


def Parameter(data, dtype=None):
    """A Tensor that requires a gradient: what a module trains.

    Parameters
    ----------
    data : array_like
        The first values; copied. Python numbers become float32 unless `dtype` says otherwise.
    dtype : optional
        float32 or float64.
    """
    if dtype is None and not isinstance(data, (np.ndarray, Tensor)):
        dtype = np.float32
    return Tensor(data, requires_grad=True, dtype=dtype)


class Module:
    """The base of all layers and models.

    Attributes
    ----------
    training : bool
        True after `train`, False after `eval`. Dropout looks at it.
    """

    def __new__(cls, *args, **kwargs):
        kind = _replaced.get(cls, cls)
        module = object.__new__(kind)
        # set here and not in __init__, so that a subclass may do without super().__init__()
        module.__dict__.update(_parameters={}, _buffers={}, _modules={}, training=True)
        if not issubclass(kind, cls):  # Python calls __init__ only on an instance of the class that was called
            module.__init__(*args, **kwargs)
        return module

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith(__package__ + "."):
            SLOTS[cls.__name__] = cls

    def forward(self, *args, **kwargs):
        """What the module computes; calling the module calls it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define `def forward(self, x)`")

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    # ---- registration ----------------------------------------------------------------------------------------------

    def __setattr__(self, name, value):
        tables = self.__dict__
        kind = None
        if isinstance(value, Module):
            kind = "_modules"
        elif type(value) is Tensor and (value.requires_grad or name in tables["_parameters"]):
            if value.node is not None:
                raise TypeError(f"{type(self).__name__}.{name}: a computed tensor cannot be a parameter; "
                                "try nn.Parameter(t.data)")
            kind = "_parameters"
        elif type(value) is np.ndarray and name in tables["_buffers"]:
            kind = "_buffers"
        for table in _TABLES:
            if table == kind:
                tables[table][name] = value
            else:
                tables[table].pop(name, None)
        tables[name] = value

    def __delattr__(self, name):
        for table in _TABLES:
            self.__dict__[table].pop(name, None)
        object.__delattr__(self, name)

    def register_buffer(self, name, array):
        """Make `array` an attribute that is saved with the model but not trained, like a running mean.

        Parameters
        ----------
        name : str
        array : ndarray

        Raises
        ------
        TypeError
            If it is anything else.
        """
        if type(array) is not np.ndarray:
            raise TypeError(f"register_buffer: {name} is a {type(array).__name__}; expected an ndarray")
        self._buffers[name] = array
        setattr(self, name, array)

    # ---- looking around --------------------------------------------------------------------------------------------

    def named_modules(self, prefix=""):
        """(name, module) of this module (its name is "") and of all below it, each once."""
        return self._walk(prefix, set())

    def _walk(self, prefix, seen):
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, child in self._modules.items():
            yield from child._walk(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self):
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self):
        """(name, module) of the parts directly below."""
        return iter(self._modules.items())

    def children(self):
        """The parts directly below."""
        return iter(self._modules.values())

    def named_parameters(self):
        """(name, Tensor) of all parameters, frozen ones too; one that is shared comes once, under its first name."""
        seen = set()
        for name, parameter in self._named("_parameters"):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self):
        """All parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self):
        """(name, ndarray) of all buffers."""
        return self._named("_buffers")

    def buffers(self):
        """All buffers."""
        return (buffer for _, buffer in self.named_buffers())

    def _named(self, table):
        """Name and value of everything in one table of all modules; under each name that it has."""
        return ((f"{prefix}.{name}" if prefix else name, value)
                for prefix, module in self._all_paths("") for name, value in getattr(module, table).items())

    def _all_paths(self, prefix):
        yield prefix, self
        for name, child in self._modules.items():
            yield from child._all_paths(f"{prefix}.{name}" if prefix else name)

    # ---- the state -------------------------------------------------------------------------------------------------

    def state_dict(self):
        """All parameters and buffers, as a dict name -> ndarray (copies). A shared parameter has all its names."""
        arrays = {name: parameter.numpy() for name, parameter in self._named("_parameters")}
        arrays.update((name, buffer.copy()) for name, buffer in self.named_buffers())
        return arrays

    def load_state_dict(self, state, strict=True):
        """Copy the arrays of `state` into the parameters and buffers of the same names.

        Parameters
        ----------
        state : dict of str to array_like
        strict : bool
            Whether a name that only one side knows is an error. A wrong shape always is.

        Returns
        -------
        tuple of two lists of str
            Names that `state` lacks, and names that the model does not know.

        Raises
        ------
        ValueError
            One error that lists all missing, unknown and misshapen names. Nothing was loaded then.
        """
        targets = {name: parameter._array for name, parameter in self._named("_parameters")}
        targets.update(self.named_buffers())
        arrays = {name: np.asarray(value) for name, value in state.items()}
        missing = [name for name in targets if name not in arrays]
        unknown = [name for name in arrays if name not in targets]
        known = [name for name in targets if name in arrays]
        wrong = [f"{name} {arrays[name].shape}, expected {targets[name].shape}"
                 for name in known if arrays[name].shape != targets[name].shape]
        wrong += [f"{name} {arrays[name].dtype}, expected {targets[name].dtype}"
                  for name in known if not np.can_cast(arrays[name].dtype, targets[name].dtype, "same_kind")]
        found = [f"missing: {', '.join(missing)}"] if missing and strict else []
        found += [f"unknown: {', '.join(unknown)}"] if unknown and strict else []
        found += [f"wrong shape or type: {'; '.join(wrong)}"] if wrong else []
        if found:
            hint = "" if wrong else " (strict=False loads what fits)"
            raise ValueError(f"load_state_dict: the state does not fit {type(self).__name__}: {'. '.join(found)}{hint}")
        for name in known:
            targets[name][...] = arrays[name]
        for parameter in self.parameters():
            parameter.mark_written()
        return missing, unknown

    def astype(self, dtype):
        """Turn all parameters and float buffers into `dtype`, and return the module. Do so before making an optimizer.

        Raises
        ------
        TypeError
            If `dtype` is neither float32 nor float64.
        """
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"astype: {dtype} is not supported; expected float32 or float64")
        for parameter in self.parameters():
            parameter._array = parameter._array.astype(dtype)
            parameter.mark_written()
            parameter.grad = None
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer.dtype.kind == "f":
                    module.register_buffer(name, buffer.astype(dtype))
        return self

    # ---- modes -----------------------------------------------------------------------------------------------------

    def train(self, mode=True):
        """Set `training` here and in all parts, and return the module."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self):
        """``train(False)``: dropout passes everything through."""
        return self.train(False)

    def freeze(self):
        """Stop all parameters here from requiring a gradient, and return the module. They stay registered."""
        for parameter in self.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        return self

    def unfreeze(self):
        """Let all parameters here require a gradient again, and return the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        return self

    def apply(self, function):
        """Call ``function(module)`` for all parts, then for this module, and return the module."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def zero_grad(self):
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    # ---- showing ---------------------------------------------------------------------------------------------------

    def summary(self):
        """A table of all parameters, as a string: name, shape, how many numbers; a star marks frozen ones."""
        rows = [(name + (" *" if not p.requires_grad else ""), " x ".join(map(str, p.shape)) or "1", f"{p.size:,}")
                for name, p in self.named_parameters()]
        counts = [(p.size, p.requires_grad) for p in self.parameters()]
        total = sum(size for size, _ in counts)
        frozen = sum(size for size, trained in counts if not trained)
        rows = [("parameter", "shape", "count"), *rows, ("total", "", f"{total:,}")]
        if frozen:
            rows.append(("of these frozen (*)", "", f"{frozen:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows]
        lines.insert(1, "-" * (sum(widths) + 4))
        return "\n".join(lines)

    def extra_repr(self):
        """What `repr` shows between the brackets: the layer's sizes."""
        return ""

    def __repr__(self):
        name, extra = type(self).__name__, self.extra_repr()
        if not self._modules:
            return f"{name}({extra})"
        inner = [f"({key}): {child!r}".replace("\n", "\n  ") for key, child in self._modules.items()]
        return f"{name}({extra}\n  " + "\n  ".join(inner) + "\n)"


@contextlib.contextmanager
def using(**classes):
    """``with nn.using(LayerNorm=Mine):`` builds `Mine` wherever code in the block says ``nn.LayerNorm(...)``.

    Only what is built in the block changes, and it stays what it is afterwards. The new class gets the arguments that
    the old one would have got. ``isinstance(layer, nn.LayerNorm)`` stays true, so that initialisers which ask for it
    work. Classes that inherit from `nn.LayerNorm` are left as they are.

    Parameters
    ----------
    **classes
        Name of a slot (see ``nn.SLOTS``) -> subclass of `Module`.

    Raises
    ------
    ValueError
        If there is no slot of that name.
    TypeError
        If the class is no `Module`.
    """
    before = dict(_replaced)
    new = {}
    for name, kind in classes.items():
        if name not in SLOTS:
            raise ValueError(f"nn.using: there is no layer {name!r}; there are {', '.join(sorted(SLOTS))}")
        if not (isinstance(kind, type) and issubclass(kind, Module)):
            raise TypeError(f"nn.using: {name}={kind!r} is no layer; expected a class that inherits from nn.Module")
        old = SLOTS[name]
        if not issubclass(kind, old):
            # An instance is a `kind` by its type, and passes for an `old` by its __class__.
            kind = type(kind.__name__, (kind,), {"__module__": kind.__module__, "__doc__": kind.__doc__,
                                                 "__class__": property(lambda self, old=old: old)})
        new[old] = kind
    _replaced.update(new)
    try:
        yield
    finally:
        _replaced.clear()
        _replaced.update(before)

