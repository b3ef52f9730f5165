"""Modules that hold modules."""

from tinymm.nn.module import Module


class Sequential(Module):
    """The modules one after the other; state_dict keys are "0.weight" and so on.

    Parameters
    ----------
    *modules : Module
        Or one dict name -> module.
    """

    def __init__(self, *modules):
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else dict(enumerate(modules))
        for name, module in named.items():
            setattr(self, str(name), module)

    def forward(self, x):
        for module in self._modules.values():
            x = module(x)
        return x

    def __getitem__(self, index):
        modules = list(self._modules.values())
        return Sequential(*modules[index]) if isinstance(index, slice) else modules[index]

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())


class ModuleList(Module):
    """A list of modules, whose parameters are found; state_dict keys are "0.weight" and so on.

    Parameters
    ----------
    modules : iterable of Module
    """

    def __init__(self, modules=()):
        for module in modules:
            self.append(module)

    def append(self, module):
        """Add one at the end, and return the list."""
        setattr(self, str(len(self)), module)
        return self

    def __getitem__(self, index):
        modules = list(self._modules.values())
        return ModuleList(modules[index]) if isinstance(index, slice) else modules[index]

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())


class Identity(Module):
    """Returns its input: a place holder."""

    def forward(self, x):
        return x
