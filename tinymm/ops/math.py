"""Element by element: arithmetic, powers, exponentials, trigonometry, activations.

Every function here gives y[i] = f(x[i]), and broadcasts as NumPy does; the gradient of what was broadcast is summed by
the engine. The names are NumPy's, and torch's where NumPy has none.
"""

import math

import numpy as np

from tinymm import kernels
from tinymm.autograd.op import Sample, op
from tinymm.ops._samples import binary, draw, unary

_WHOLE = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}
_SMALL = 2048  # below this many elements NumPy's own loop is quicker than the way into a kernel


def _identity(g):
    return g


def _minus(g):
    return -g


def _zero(g):
    return np.zeros_like(g)


def choose(mask, x, y=None):
    """``np.where(mask, x, y)`` for floats of one type; y is 0 if left out.

    By their bits: np.where takes a branch for each element, which on a mask without pattern is ten times slower. A
    product with the mask would be as quick, but let the infinities and NaN through that it shall hide.
    """
    if type(mask) is not np.ndarray:
        mask = np.asarray(mask)
    whole = _WHOLE.get(x.dtype)
    if whole is None:
        return np.where(mask, x, 0 if y is None else y)
    bits = -mask.astype(whole)  # all ones where the mask holds
    kept = x.view(whole) & bits
    if y is not None:
        kept |= y.view(whole) & ~bits
    return kept.view(x.dtype)


# ---- arithmetic ----------------------------------------------------------------------------------------------------


@op(samples=binary(), torch="add")
def add(a, b):
    """a + b."""
    return a + b, (_identity, _identity)


@op(samples=binary(), torch="subtract")
def subtract(a, b):
    """a - b."""
    return a - b, (_identity, _minus)


@op(samples=binary(), torch="multiply")
def multiply(a, b):
    """a * b, element by element."""
    return a * b, (lambda g: g * b, lambda g: g * a)


@op(samples=binary(low2=0.5, high2=2.5), torch="divide")
def divide(a, b):
    """a / b."""
    return a / b, (lambda g: g / b, lambda g: -g * (a / (b * b)))


@op(samples=unary(), torch="negative")
def negative(x):
    """-x."""
    return -x, (_minus,)


@op(samples=unary(0.3, 2.0), torch="reciprocal")
def reciprocal(x):
    """1 / x."""
    y = 1 / x
    return y, (lambda g: -g * y * y,)


@op(samples=lambda rng: binary(0.3, 2.0, -2.0, 2.0)(rng) + [
    Sample(draw(rng, (2, 3)), 2), Sample(draw(rng, (2, 3)), 3.0, check=(0,)), Sample(draw(rng, (5,), kinks=[0]), -1),
    Sample(2.0, draw(rng, (3,)), check=(1,)), Sample(draw(rng, (3,)), 0), Sample(draw(rng, (3,)), 1)], torch="pow")
def power(a, b):
    """a ** b. Where a is 0, and b is not negative, the gradient for b is taken as 0."""
    y = _power(a, b)

    def d_a(g):
        if type(b) in (int, float):
            return g * (_power(a, b - 1) * b) if b != 0 else np.zeros_like(g)
        return g * np.where(b == 0, 0, b * np.power(a, np.where(b == 0, 1, b - 1)))

    def d_b(g):
        zero = np.equal(a, 0) & np.greater_equal(b, 0)
        return g * np.where(zero, 0, y * np.log(np.where(zero, 1, a)).astype(y.dtype))

    return y, (d_a, d_b)


def _power(a, b):
    """a ** b, with the powers of every day as products: NumPy's loop for float32 takes 300 times as long."""
    if type(b) in (int, float) and type(a) is np.ndarray:
        if b == 1:
            return a.copy()
        if b == 2:
            return a * a
        if b == 3:
            return a * a * a
    return np.power(a, b)


@op(samples=unary(), torch="square")
def square(x):
    """x * x."""
    return np.square(x), (lambda g: g * x * 2,)


@op(samples=unary(0.3, 3.0), torch="sqrt")
def sqrt(x):
    """The square root of x."""
    y = np.sqrt(x)
    return y, (lambda g: g * 0.5 / y,)


@op(samples=unary(kinks=[0]), torch="abs")
def abs(x):
    """The absolute value. At 0 the gradient is 0."""
    return np.abs(x), (lambda g: g * np.sign(x),)


@op(samples=unary(kinks=[0]), torch="sign")
def sign(x):
    """-1, 0 or 1. Its gradient is 0 everywhere."""
    return np.sign(x), (_zero,)


@op(samples=binary(), torch="maximum")
def maximum(a, b):
    """The larger of a and b. Where they are equal, each gets half of the gradient, as in torch."""
    return np.maximum(a, b), (lambda g: _share(g, a > b, a == b), lambda g: _share(g, b > a, a == b))


@op(samples=binary(), torch="minimum")
def minimum(a, b):
    """The smaller of a and b. Where they are equal, each gets half of the gradient, as in torch."""
    return np.minimum(a, b), (lambda g: _share(g, a < b, a == b), lambda g: _share(g, b < a, a == b))


def _share(g, mine, both):
    return choose(mine, g) + choose(both, g * 0.5)


@op(samples=lambda rng: unary(kinks=[-0.7, 1.1], min=-0.7, max=1.1)(rng) + unary(kinks=[0.5], min=0.5)(rng)
    + unary(kinks=[0.5], max=0.5)(rng), torch="clip")
def clip(x, *, min=None, max=None):
    """x, but nothing below `min` and nothing above `max`; either may be left out. Outside, the gradient is 0.

    Raises
    ------
    ValueError
        If both are None.
    """
    if min is None and max is None:
        raise ValueError("clip: both min and max are None; give at least one of them")

    def d_x(g):
        inside = (True if min is None else x >= min) & (True if max is None else x <= max)
        return choose(inside, g)

    return np.clip(x, min, max), (d_x,)


@op(samples=lambda rng: [
    Sample(rng.random(s[0]) < 0.5, rng.normal(size=s[1]), rng.normal(size=s[2]))
    for s in [((7,), (7,), (7,)), ((2, 3, 5), (5,), (3, 1)), ((3, 1), (2, 3, 5), ()), ((0, 3), (3,), (0, 1)),
              ((5,), (2, 1), (5,))]], torch="where")
def where(condition, x, y):
    """x where `condition` holds, y elsewhere. Shapes broadcast; the condition has no gradient."""
    condition = np.asarray(condition, dtype=bool)
    alike = type(x) is np.ndarray and type(y) is np.ndarray and x.dtype == y.dtype
    z = choose(condition, x, y) if alike else np.where(condition, x, y)
    return z, (None, lambda g: choose(condition, g), lambda g: choose(~condition, g))


# ---- exponentials and logarithms -----------------------------------------------------------------------------------


@op(samples=unary(), torch="exp")
def exp(x):
    """e to the power of x."""
    y = kernels.exp(x) if type(x) is np.ndarray and x.size >= _SMALL and x.dtype.kind == "f" else np.exp(x)
    return y, (lambda g: g * y,)


@op(samples=unary(), torch="expm1")
def expm1(x):
    """exp(x) - 1, exact for small x."""
    y = np.expm1(x)
    return y, (lambda g: g * (y + 1),)


@op(samples=unary(0.3, 3.0), torch="log")
def log(x):
    """The natural logarithm."""
    return np.log(x), (lambda g: g / x,)


@op(samples=unary(0.3, 3.0), torch="log2")
def log2(x):
    """The logarithm to base 2."""
    return np.log2(x), (lambda g: g / (x * math.log(2)),)


@op(samples=unary(0.3, 3.0), torch="log10")
def log10(x):
    """The logarithm to base 10."""
    return np.log10(x), (lambda g: g / (x * math.log(10)),)


@op(samples=unary(-0.7, 3.0), torch="log1p")
def log1p(x):
    """log(1 + x), exact for small x."""
    return np.log1p(x), (lambda g: g / (1 + x),)


@op(samples=binary(), torch="logaddexp")
def logaddexp(a, b):
    """log(exp(a) + exp(b)), without overflow."""
    y = np.logaddexp(a, b)
    return y, (lambda g: g * np.exp(a - y), lambda g: g * np.exp(b - y))


# ---- trigonometric and hyperbolic ----------------------------------------------------------------------------------


@op(samples=unary(), torch="sin")
def sin(x):
    """The sine of x in radians."""
    return np.sin(x), (lambda g: g * np.cos(x),)


@op(samples=unary(), torch="cos")
def cos(x):
    """The cosine of x in radians."""
    return np.cos(x), (lambda g: -g * np.sin(x),)


@op(samples=unary(-1.2, 1.2), torch="tan")
def tan(x):
    """The tangent of x in radians."""
    y = np.tan(x)
    return y, (lambda g: g * (1 + y * y),)


@op(samples=unary(-0.9, 0.9), torch="arcsin")
def arcsin(x):
    """The angle in [-pi/2, pi/2] whose sine is x."""
    return np.arcsin(x), (lambda g: g / np.sqrt(1 - x * x),)


@op(samples=unary(-0.9, 0.9), torch="arccos")
def arccos(x):
    """The angle in [0, pi] whose cosine is x."""
    return np.arccos(x), (lambda g: -g / np.sqrt(1 - x * x),)


@op(samples=unary(), torch="arctan")
def arctan(x):
    """The angle in (-pi/2, pi/2) whose tangent is x."""
    return np.arctan(x), (lambda g: g / (1 + x * x),)


@op(samples=binary(-2.0, 2.0, 0.3, 2.0), torch="arctan2")
def arctan2(y, x):
    """The angle of the point (x, y), in (-pi, pi]."""
    def d_y(g):
        return g * x / (x * x + y * y)

    def d_x(g):
        return -g * y / (x * x + y * y)

    return np.arctan2(y, x), (d_y, d_x)


@op(samples=unary(), torch="sinh")
def sinh(x):
    """The hyperbolic sine."""
    return np.sinh(x), (lambda g: g * np.cosh(x),)


@op(samples=unary(), torch="cosh")
def cosh(x):
    """The hyperbolic cosine."""
    return np.cosh(x), (lambda g: g * np.sinh(x),)


@op(samples=unary(), torch="tanh")
def tanh(x):
    """The hyperbolic tangent."""
    y = kernels.tanh(x) if type(x) is np.ndarray and x.size >= _SMALL and x.dtype.kind == "f" else np.tanh(x)
    return y, (lambda g: g * (1 - y * y) if g.size < _SMALL else kernels.tanh_backward(g, y),)


@op(samples=unary(), torch="arcsinh")
def arcsinh(x):
    """The inverse of sinh."""
    return np.arcsinh(x), (lambda g: g / np.sqrt(x * x + 1),)


@op(samples=unary(1.2, 3.0), torch="arccosh")
def arccosh(x):
    """The inverse of cosh, for x >= 1."""
    return np.arccosh(x), (lambda g: g / np.sqrt(x * x - 1),)


@op(samples=unary(-0.9, 0.9), torch="arctanh")
def arctanh(x):
    """The inverse of tanh, for -1 < x < 1."""
    return np.arctanh(x), (lambda g: g / (1 - x * x),)


# ---- activations ---------------------------------------------------------------------------------------------------


@op(samples=unary(-5.0, 5.0), torch="sigmoid")
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    y = kernels.sigmoid(_floats(x))
    return y, (lambda g: kernels.sigmoid_backward(g, y),)


@op(samples=unary(-5.0, 5.0), torch="nn.functional.logsigmoid")
def logsigmoid(x):
    """log(sigmoid(x)), without underflow."""
    x = _floats(x)
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))), (lambda g: g * kernels.sigmoid(-x),)


@op(samples=unary(-5.0, 5.0), torch="nn.functional.softplus")
def softplus(x):
    """log(1 + exp(x)), without overflow."""
    x = _floats(x)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), (lambda g: g * kernels.sigmoid(x),)


@op(samples=unary(kinks=[0]), torch="relu")
def relu(x):
    """max(x, 0). At 0 the gradient is 0."""
    y = kernels.relu(_floats(x))
    return y, (lambda g: kernels.relu_backward(g, y),)


@op(samples=lambda rng: unary(kinks=[0])(rng) + unary(kinks=[0], negative_slope=0.3)(rng),
    torch="nn.functional.leaky_relu")
def leaky_relu(x, *, negative_slope=0.01):
    """x where it is positive, else negative_slope * x."""
    def d_x(g):
        up = x > 0
        return choose(up, g) + choose(~up, g) * negative_slope

    return np.maximum(x, 0) + np.minimum(x, 0) * negative_slope, (d_x,)


@op(samples=lambda rng: unary()(rng) + unary(kinks=[0], alpha=0.3)(rng), torch="nn.functional.elu")
def elu(x, *, alpha=1.0):
    """x where it is positive, else alpha * (exp(x) - 1)."""
    y = np.asarray(np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0)))

    def d_x(g):
        up = y > 0
        return choose(up, g) + choose(~up, g) * (np.minimum(y, 0) + alpha)

    return y, (d_x,)


@op(samples=lambda rng: unary(-4.0, 4.0)(rng) + unary(-4.0, 4.0, approximate="tanh")(rng), torch="nn.functional.gelu")
def gelu(x, *, approximate="none"):
    """x * Phi(x), Phi the normal distribution function.

    Parameters
    ----------
    x : (...)
    approximate : "none" or "tanh"
        "none" is exact (through erf); "tanh" is 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).

    Source: Hendrycks and Gimpel 2016, section 2.
    """
    x = _floats(x)
    if approximate == "none":
        return kernels.gelu(x), (lambda g: kernels.gelu_backward(g, x),)
    if approximate == "tanh":
        return kernels.gelu_tanh(x), (lambda g: kernels.gelu_tanh_backward(g, x),)
    raise ValueError(f"gelu: approximate is {approximate!r}; expected 'none' or 'tanh'")


@op(samples=unary(-5.0, 5.0), torch="nn.functional.silu")
def silu(x):
    """x * sigmoid(x), also called swish."""
    x = _floats(x)
    return kernels.silu(x), (lambda g: kernels.silu_backward(g, x),)


@op(samples=unary(), torch="erf")
def erf(x):
    """The error function: 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    x = _floats(x)
    return kernels.erf(x), (lambda g: kernels.erf_backward(g, x),)


# ---- type ----------------------------------------------------------------------------------------------------------


@op(samples=unary(dtype=np.float64))
def astype(x, *, dtype):
    """The same values as another type. Into integers or booleans no gradient flows."""
    old, dtype = x.dtype, np.dtype(dtype)
    if dtype.kind != "f":
        return x.astype(dtype), None
    return (x.view() if dtype == old else x.astype(dtype)), (lambda g: g.astype(old, copy=False),)


def _floats(x):
    """`x` as an array of floats: integers become float64, as in NumPy."""
    x = np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(np.float64)
