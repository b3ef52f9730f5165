"""exp, tanh, erf and their like for use inside compiled loops, written so that the loops vectorise.

No vector math library can be counted on, and a call of libm keeps a loop scalar. So these are polynomials after a range
reduction. Each name is a stub that compiled code calls with a float32 or a float64 and that Numba replaces by the
version for that type. NaN goes through all of them; exp of -inf is exactly 0.

The largest errors are 1.2 units in the last place for exp and 2.5 for the others (the tests measure them); in float64
tanh and erf are libm's.

The coefficients were computed with 40 digits. They interpolate at Chebyshev nodes (exp(r) - 1 - r) / r^2 on
|r| <= log(2) / 2, (tanh(x) - x) / x^3 and erf(x) / x as functions of x^2, and exp(x^2) erfc(x) / t as a function of
t = 1 / (1 + 0.35 x); the quotient in `normal_cdf` is the best one of its degrees for (Phi(x) - 1/2) / x.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

# Only contraction: were sums to be reordered, the range reductions below would be "simplified" away.
_OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}

_f, _d, _i, _l = np.float32, np.float64, np.int32, np.int64


def exp_down(x):
    """exp(x) for x <= 0 (as in exp(x_i - largest)); 0 where the result would be denormal."""


def exp(x):
    """exp(x) for any x."""


def tanh(x):
    """The hyperbolic tangent."""


def sigmoid(x):
    """1 / (1 + exp(-x))."""


def erf(x):
    """The error function."""


def normal_cdf(x):
    """Phi(x), the distribution function of the normal distribution, to an absolute error of 1e-7 in float32."""


def normal(x):
    """(Phi(x), exp(-x^2 / 2)): distribution function and (unscaled) density, for little more than Phi(x) alone."""


def minus(a, b):
    """a - b, never reordered. Else LLVM makes (b + c) - a of c - (a - b), and the digits of a small c are lost.

    Every difference of such an expression must be written with it, the outer one too.
    """


def blend(a, b, share):
    """(1 - share) * a + share * b, never reordered: a + share * (b - a) is NaN where both are infinite."""


def sort_key(x):
    """An integer that orders as the float does. A maximum of integers vectorises, one of floats does not."""


def from_sort_key(k):
    """The float of a `sort_key`."""


def _by_type(stub, single, double):
    @overload(stub, jit_options=_OPTIONS)
    def choose(x):
        return {types.float32: single, types.float64: double, types.int32: single, types.int64: double}.get(x)


# exp(x) = 2^n exp(r), x = n log 2 + r. Adding 1.5 * 2^23 rounds to an integer n, which then stands in the lowest bits;
# log 2 is split in two so that n * (first part) is exact.

_SHIFT = _f(12582912.0)
_LOG2E = _f(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = _f(0.693359375), _f(-2.12194440e-4)
_E0, _E1, _E2 = _f(0.5), _f(0.16666576266288757), _f(0.04166655242443085)
_E3, _E4 = _f(0.00836323294788599), _f(0.0013926250394433737)
_LOWEST = _f(-87.0)


def _exp_down_single(x):
    clamped = x if x > _LOWEST else _LOWEST
    shifted = clamped * _LOG2E + _SHIFT
    n = shifted - _SHIFT
    r = clamped - n * _LN2_HIGH - n * _LN2_LOW
    e = ((((_E4 * r + _E3) * r + _E2) * r + _E1) * r + _E0) * (r * r) + r + _f(1)
    e = _i(_f(e).view(_i) + _i(_f(shifted).view(_i) << _i(23))).view(_f)
    return e if x > _LOWEST else (_f(0) if x <= _LOWEST else x)


_EXP_MIN, _EXP_MAX = _f(-105.0), _f(89.0)


def _exp_single(x):
    clamped = x if x > _EXP_MIN else _EXP_MIN
    clamped = clamped if clamped < _EXP_MAX else _EXP_MAX
    shifted = clamped * _LOG2E + _SHIFT
    n = shifted - _SHIFT
    r = clamped - n * _LN2_HIGH - n * _LN2_LOW
    e = ((((_E4 * r + _E3) * r + _E2) * r + _E1) * r + _E0) * (r * r) + r + _f(1)
    k = _i(_f(shifted).view(_i) - _SHIFT_BITS)
    half = _i(k >> _i(1))  # 2^n in two steps: n goes from -151 to 128
    e = e * _i(_i(half + _i(127)) << _i(23)).view(_f) * _i(_i(k - half + _i(127)) << _i(23)).view(_f)
    return e if x == x else x


_SHIFT_BITS = _SHIFT.view(_i)

_DSHIFT = _d(6755399441055744.0)
_DLOG2E = _d(1.4426950408889634)
_DLN2_HIGH, _DLN2_LOW = _d(6.93147180369123816490e-01), _d(1.90821492927058770002e-10)
_D0, _D1, _D2 = _d(0.5), _d(0.16666666666666669), _d(0.041666666666623824)
_D3, _D4, _D5 = _d(0.008333333333330039), _d(0.0013888888917367081), _d(0.00019841269863171557)
_D6, _D7 = _d(2.4801521057868204e-05), _d(2.7557268276905696e-06)
_D8, _D9 = _d(2.7620201591031547e-07), _d(2.5100472505694996e-08)
_DLOWEST = _d(-708.0)


def _exp_down_double(x):
    clamped = x if x > _DLOWEST else _DLOWEST
    shifted = clamped * _DLOG2E + _DSHIFT
    n = shifted - _DSHIFT
    r = clamped - n * _DLN2_HIGH - n * _DLN2_LOW
    p = ((((_D9 * r + _D8) * r + _D7) * r + _D6) * r + _D5) * r + _D4
    e = ((((p * r + _D3) * r + _D2) * r + _D1) * r + _D0) * (r * r) + r + _d(1)
    e = _l(_d(e).view(_l) + (_d(shifted).view(_l) << _l(52))).view(_d)
    return e if x > _DLOWEST else (_d(0) if x <= _DLOWEST else x)


_DEXP_MIN, _DEXP_MAX = _d(-746.0), _d(710.0)
_DSHIFT_BITS = _DSHIFT.view(_l)


def _exp_double(x):
    clamped = x if x > _DEXP_MIN else _DEXP_MIN
    clamped = clamped if clamped < _DEXP_MAX else _DEXP_MAX
    shifted = clamped * _DLOG2E + _DSHIFT
    n = shifted - _DSHIFT
    r = clamped - n * _DLN2_HIGH - n * _DLN2_LOW
    p = ((((_D9 * r + _D8) * r + _D7) * r + _D6) * r + _D5) * r + _D4
    e = ((((p * r + _D3) * r + _D2) * r + _D1) * r + _D0) * (r * r) + r + _d(1)
    k = _d(shifted).view(_l) - _DSHIFT_BITS
    half = k >> _l(1)
    e = e * _l((half + _l(1023)) << _l(52)).view(_d) * _l((k - half + _l(1023)) << _l(52)).view(_d)
    return e if x == x else x


_by_type(exp_down, _exp_down_single, _exp_down_double)
_by_type(exp, _exp_single, _exp_double)


# tanh: odd polynomial near 0, else (1 - e) / (1 + e) with e = exp(-2|x|).

_T0, _T1, _T2 = _f(-0.333333283662796), _f(0.1333276927471161), _f(-0.05385090783238411)
_T3, _T4 = _f(0.020997179672122), _f(-0.006096714176237583)


def _tanh_single(x):
    u = x * x
    near = x + x * u * ((((_T4 * u + _T3) * u + _T2) * u + _T1) * u + _T0)
    e = exp_down(_f(-2) * abs(x))
    far = (_f(1) - e) / (_f(1) + e)
    far = far if x > _f(0) else -far
    return near if abs(x) < _f(0.625) else far


def _tanh_double(x):
    return math.tanh(x)


_by_type(tanh, _tanh_single, _tanh_double)


def _sigmoid_single(x):
    e = exp_down(-abs(x))
    return (_f(1) if x >= _f(0) else e) / (_f(1) + e)


def _sigmoid_double(x):
    e = exp_down(-abs(x))
    return (_d(1) if x >= _d(0) else e) / (_d(1) + e)


_by_type(sigmoid, _sigmoid_single, _sigmoid_double)


# exp(x^2) erfc(x), x >= 0: no cancellation anywhere, and its factor exp(-x^2) also is the density that gelu's gradient
# needs.

_C0, _C1, _C2 = _f(0.19749504327774048), _f(0.19692738354206085), _f(0.18960151076316833)
_C3, _C4, _C5 = _f(0.14346210658550262), _f(0.16790252923965454), _f(0.04702814295887947)
_C6, _C7, _C8 = _f(0.01965027116239071), _f(0.1464017927646637), _f(-0.14417873322963715)
_C9 = _f(0.03570997342467308)


def _scaled_erfc(x):
    """exp(x^2) erfc(x) for x >= 0."""


def _scaled_erfc_single(x):
    t = _f(1) / (_f(1) + _f(0.35) * x)
    p = ((((_C9 * t + _C8) * t + _C7) * t + _C6) * t + _C5) * t + _C4
    return ((((p * t + _C3) * t + _C2) * t + _C1) * t + _C0) * t


_by_type(_scaled_erfc, _scaled_erfc_single, None)


_P0, _P1, _P2 = _f(0.3989422619342804), _f(0.03345867618918419), _f(0.004651468247175217)
_P3, _P4, _P5 = _f(0.00016457148012705147), _f(6.3015691011969466e-06), _f(2.2931281762339495e-08)
_Q1, _Q2, _Q3 = _f(0.25053486227989197), _f(0.02841600403189659), _f(0.0018606330268085003)
_Q4, _Q5 = _f(7.216628000605851e-05), _f(1.1990304074060987e-06)


def _normal_cdf_single(x):
    u = x * x
    p = ((((_P5 * u + _P4) * u + _P3) * u + _P2) * u + _P1) * u + _P0
    q = ((((_Q5 * u + _Q4) * u + _Q3) * u + _Q2) * u + _Q1) * u + _f(1)
    near = _f(0.5) + x * (p / q)
    far = _f(0) if x < _f(0) else _f(1)
    return near if abs(x) < _f(5.5) else far


def _normal_cdf_double(x):
    return _d(0.5) * math.erfc(x * _d(-0.7071067811865476))


_by_type(normal_cdf, _normal_cdf_single, _normal_cdf_double)


def _normal_single(x):
    e = exp_down(_f(-0.5) * x * x)
    tail = _f(0.5) * e * _scaled_erfc(abs(x) * _f(0.7071067811865476))
    return (tail if x < _f(0) else _f(1) - tail), e


def _normal_double(x):
    return _d(0.5) * math.erfc(x * _d(-0.7071067811865476)), exp_down(_d(-0.5) * x * x)


_by_type(normal, _normal_single, _normal_double)

_F0, _F1, _F2 = _f(1.128379225730896), _f(-0.37612634897232056), _f(0.11283718049526215)
_F3, _F4, _F5 = _f(-0.026860665529966354), _f(0.0052042268216609955), _f(-0.0008179632131941617)
_F6 = _f(8.529401384294033e-05)


def _erf_single(x):
    u = x * x
    near = x * ((((((_F6 * u + _F5) * u + _F4) * u + _F3) * u + _F2) * u + _F1) * u + _F0)
    far = _f(1) - exp_down(-u) * _scaled_erfc(abs(x))
    far = far if x > _f(0) else -far
    return near if abs(x) < _f(0.9) else far


def _erf_double(x):
    return math.erf(x)


_by_type(erf, _erf_single, _erf_double)


@overload(minus, jit_options=_OPTIONS)
def _choose_minus(a, b):
    return lambda a, b: a - b


@overload(blend, jit_options=_OPTIONS)
def _choose_blend(a, b, share):
    one = {types.float32: _f(1), types.float64: _d(1)}[share]
    return lambda a, b, share: (one - share) * a + share * b


# Positive floats order as their bits do; negative ones the other way round, so their lower bits are flipped.


def _sort_key_single(x):
    k = _f(x).view(_i)
    return _i(k ^ ((k >> _i(31)) & _i(0x7FFFFFFF)))


def _sort_key_double(x):
    k = _d(x).view(_l)
    return _l(k ^ ((k >> _l(63)) & _l(0x7FFFFFFFFFFFFFFF)))


def _from_sort_key_single(k):
    return _i(k ^ ((k >> _i(31)) & _i(0x7FFFFFFF))).view(_f)


def _from_sort_key_double(k):
    return _l(k ^ ((k >> _l(63)) & _l(0x7FFFFFFFFFFFFFFF))).view(_d)


_by_type(sort_key, _sort_key_single, _sort_key_double)


@overload(from_sort_key, jit_options=_OPTIONS)
def _choose_from_sort_key(k):
    return {types.int32: _from_sort_key_single, types.int64: _from_sort_key_double}.get(k)
