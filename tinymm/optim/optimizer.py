"""`Optimizer`: parameter groups over flat buffers.

The parameters of a group are moved into one buffer, one after the other, and become views of it; the optimizer's state
lies in buffers of the same form. So one kernel call updates many small parameters at once: their gradients are
gathered into a buffer first. A large parameter is updated straight from its own gradient, for which a copy would
cost more than a call.
"""

import numpy as np

from tinymm.autograd.tensor import Tensor

LARGE = 1 << 14  # numbers; from this size on a parameter has its own kernel call


class Optimizer:
    """The base of all optimizers.

    A subclass gives its state's names in `_state_names` and one update over flat arrays in `_update`.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        What to train. A dict is a parameter group: ``{"params": [...], "lr": 1e-4}`` has its own settings.
    **defaults
        The settings of groups that do not give their own.

    Attributes
    ----------
    param_groups : list of dict
        ``group["params"]`` and the settings; a setting may be changed between two steps.

    Raises
    ------
    TypeError
        If something in `params` is no Tensor.
    ValueError
        If there is nothing in `params`, something twice, something computed, or a setting is out of its range.
    """

    def __init__(self, params, **defaults):
        self.defaults = defaults
        self.param_groups = []
        self._stretches = []  # one `_Flat` for each group and dtype
        groups = [params] if isinstance(params, (Tensor, dict)) else list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: there are no parameters; try model.parameters()")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group):
        """Train more parameters, with their own settings: ``{"params": [...], "lr": 1e-4}``."""
        name = type(self).__name__
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        unknown = set(group) - {"params", *self.defaults}
        if unknown:
            raise ValueError(f"{name}: unknown setting {', '.join(unknown)}; there are {', '.join(self.defaults)}")
        seen = {id(p) for other in self.param_groups for p in other["params"]}
        for p in params:
            if type(p) is not Tensor:
                raise TypeError(f"{name}: cannot train a {type(p).__name__}; expected Tensors: model.parameters()")
            if p.node is not None:
                raise ValueError(f"{name}: a tensor computed by {p.node.name} is no parameter; expected leaves")
            if p.dtype.kind != "f":
                raise ValueError(f"{name}: cannot train a tensor of {p.dtype}; expected float32 or float64")
            if id(p) in seen:
                raise ValueError(f"{name}: a parameter of shape {p.shape} is given twice")
            seen.add(id(p))
        group = {**self.defaults, **group, "params": params}
        self._check(group)
        self.param_groups.append(group)
        for dtype in sorted({p.dtype for p in params}, key=str):
            same = [p for p in params if p.dtype == dtype]
            self._stretches.append(_Flat(group, same, self._state_names(group), self._first_value(group)))

    def zero_grad(self):
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self, scale=1.0):
        """Update all parameters that have a gradient.

        Parameters
        ----------
        scale : float
            Multiplies every group's learning rate in this step: what a schedule gives, see `tinymm.optim.schedule`.
        """
        for flat in self._stretches:
            rate = flat.group["lr"] * scale
            for start, stop, g, step in flat.gather():
                state = [buffer[start:stop] for buffer in flat.state.values()]
                self._update(flat.values[start:stop], g, state, rate, step, flat.group)

    def _check(self, group):
        if not group["lr"] >= 0:
            raise ValueError(f"{type(self).__name__}: lr is {group['lr']}; expected 0 or more")
        if not group["weight_decay"] >= 0:
            raise ValueError(f"{type(self).__name__}: weight_decay is {group['weight_decay']}; expected 0 or more")

    def _state_names(self, group):
        """The names of the buffers, as torch calls them."""
        raise NotImplementedError

    def _first_value(self, group):
        """What the buffers are filled with."""
        return 0.0

    def _update(self, p, g, state, lr, step, group):
        """Update `p` (n,) in place; `state` is a list of (n,) in the order of `_state_names`, `step` counts from 1."""
        raise NotImplementedError

    # ---- the state -------------------------------------------------------------------------------------------------

    def state_dict(self):
        """Settings, step counts and buffers (copies).

        Returns
        -------
        dict
            "state": for each parameter, in order, a dict of "step" and arrays of its shape; "param_groups": the
            settings, with the numbers of the parameters.
        """
        places = self._places()
        state, groups = [], []
        for group in self.param_groups:
            first = len(state)
            for p in group["params"]:
                flat, i = places[id(p)]
                state.append({"step": flat.steps[i], **{name: v[i].copy() for name, v in flat.state_views.items()}})
            settings = {key: value for key, value in group.items() if key != "params"}
            groups.append({**settings, "params": list(range(first, len(state)))})
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state):
        """Take over what `state_dict` gave; the groups must hold parameters of the same shapes.

        Raises
        ------
        ValueError
            If the groups do not agree. Nothing was loaded then.
        """
        name = type(self).__name__
        have = [len(group["params"]) for group in self.param_groups]
        given = [len(group["params"]) for group in state["param_groups"]]
        if have != given:
            raise ValueError(f"{name}: the state has groups of {given} parameters; expected {have}")
        places = self._places()
        params = [p for group in self.param_groups for p in group["params"]]
        for number, (p, entry) in enumerate(zip(params, state["state"], strict=True)):
            flat, i = places[id(p)]
            expected = {"step": (), **{key: p.shape for key in flat.state}}
            found = {key: np.shape(value) for key, value in entry.items()}
            if expected != found:
                raise ValueError(f"{name}: the state of parameter {number} is {found}; expected {expected}")
        for group, settings in zip(self.param_groups, state["param_groups"]):
            for key in self.defaults:
                value = settings.get(key, group[key])
                group[key] = tuple(value) if isinstance(value, list) else value
        for p, entry in zip(params, state["state"]):
            flat, i = places[id(p)]
            flat.steps[i] = int(entry["step"])
            for key, views in flat.state_views.items():
                views[i][...] = entry[key]

    def _places(self):
        return {id(p): (flat, i) for flat in self._stretches for i, p in enumerate(flat.params)}


class _Flat:
    """The parameters of one group and dtype: small ones first, then large ones, in one buffer.

    Attributes
    ----------
    params : list of Tensor
    values : ndarray (n,)
        All values; ``views[i]`` is the part that ``params[i]`` is.
    state : dict of str to ndarray (n,)
        ``state_views[name][i]`` is the part that belongs to ``params[i]``.
    steps : list of int
        How often each parameter has been updated.
    """

    def __init__(self, group, params, names, first):
        self.group = group
        self.params = sorted(params, key=lambda p: p.size >= LARGE)
        self.small = sum(p.size < LARGE for p in params)
        self.stops = np.cumsum([p.size for p in self.params]).tolist()
        self.starts = [0, *self.stops[:-1]]
        self.steps = [0] * len(params)
        dtype, total = params[0].dtype, self.stops[-1]
        self.values = np.empty(total, dtype)
        self.views = self._cut(self.values, len(params))
        self.state = {name: np.full(total, first, dtype) if first else np.zeros(total, dtype) for name in names}
        self.state_views = {name: self._cut(buffer, len(params)) for name, buffer in self.state.items()}
        self.gradients = np.empty(self.starts[self.small] if self.small < len(params) else total, dtype)
        self.gradient_views = self._cut(self.gradients, self.small)
        for i in range(len(params)):
            self._adopt(i)

    def _cut(self, buffer, count):
        return [buffer[a:b].reshape(p.shape) for a, b, p in zip(self.starts, self.stops, self.params[:count])]

    def _adopt(self, i):
        """Make the parameter a view of the buffer: at first, and after somebody gave it another array."""
        p, view = self.params[i], self.views[i]
        if p._array.dtype != view.dtype or p._array.shape != view.shape:
            raise RuntimeError(f"step: a parameter of {view.dtype} {view.shape} became {p.dtype} {p.shape}; "
                               "make the optimizer after model.astype(...)")
        view[...] = p._array
        p._array = view

    def gather(self):
        """Yield (start, stop, gradient (stop - start,), step) for each stretch that one kernel call can update.

        A stretch ends where a parameter has no gradient, or has been updated a different number of times.
        """
        params, views, steps = self.params, self.views, self.steps
        begin = end = None
        for i in range(self.small):
            p = params[i]
            g = p.grad
            if g is not None:
                if p._array is not views[i]:
                    self._adopt(i)
                self.gradient_views[i][...] = g
                p.mark_written()
                steps[i] += 1
                if begin is not None and steps[i] != steps[i - 1]:
                    yield begin, end, self.gradients[begin:end], steps[i - 1]
                    begin = None
                if begin is None:
                    begin = self.starts[i]
                end = self.stops[i]
            elif begin is not None:
                yield begin, end, self.gradients[begin:end], steps[i - 1]
                begin = None
        if begin is not None:
            yield begin, end, self.gradients[begin:end], steps[self.small - 1]
        for i in range(self.small, len(params)):
            p = params[i]
            g = p.grad
            if g is not None:
                if p._array is not views[i]:
                    self._adopt(i)
                p.mark_written()
                steps[i] += 1
                yield self.starts[i], self.stops[i], np.require(g, views[i].dtype, "CW").reshape(-1), steps[i]
