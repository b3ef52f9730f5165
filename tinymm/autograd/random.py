"""The generator that initialisers and dropout draw from when they are given none of their own.

One generator, so that one seed fixes a run, and one state to save for a run to be resumed bit for bit.
"""

import numpy as np

_generator = np.random.Generator(np.random.PCG64(0))


def generator():
    """The generator in use."""
    return _generator


def manual_seed(seed):
    """Start the generator anew from `seed`."""
    _generator.bit_generator.state = np.random.PCG64(seed).state


def get_state():
    """The generator's state, as a JSON-able dict."""
    return _generator.bit_generator.state


def set_state(state):
    """Put the generator back into a state from `get_state`."""
    _generator.bit_generator.state = state
