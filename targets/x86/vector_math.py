"""Writes out exponentials and their kin, so that LLVM vectorises them.

LLVM calls the C library for each single element, which makes them five to twenty times slower. What is
here keeps a relative error below 1e-6, and the results at zero, infinity and NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tvm_ffi
from tvm import ir, tirx

_LOG2_E = 1.44269504088896341
# The logarithm of 2 in two parts, the first of which has few digits: its products are exact.
_LN2_HIGH = 0.693359375
_LN2_LOW = -2.12194440e-4


def expand_vector_math(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Rewrite float32 calls of exp, log, sigmoid, tanh and erf to arithmetic."""

    def expand(call: ir.Call) -> ir.Expr:
        expansion = _EXPANSIONS.get(call.op.name) if isinstance(call.op, ir.Op) else None
        if expansion is None or str(call.ty) not in ("float32", "T.float32"):
            return call
        return _bind(call.args[0], expansion)

    return function.with_body(tvm_ffi.structural_map(function.body, ((ir.Call, expand),)))


def _f32(value: float) -> ir.Expr:
    return tirx.const(value, "float32")


def _i32(value: int) -> ir.Expr:
    return tirx.const(value, "int32")


def _bind(value: ir.Expr, body: Callable[[ir.Var], ir.Expr]) -> ir.Expr:
    """``body`` of a value that it reads several times."""
    variable = tirx.Var("v", str(value.ty).removeprefix("T."))
    return tirx.Let(variable, value, body(variable))


def _polynomial(x: ir.Expr, coefficients: Sequence[float]) -> ir.Expr:
    """Horner's rule, highest power first."""
    result = _f32(coefficients[0])
    for coefficient in coefficients[1:]:
        result = result * x + _f32(coefficient)
    return result


def _clamp(x: ir.Expr, limit: float) -> ir.Expr:
    return tirx.max(tirx.min(x, _f32(limit)), _f32(-limit))


def _power_of_two(exponent: ir.Expr) -> ir.Expr:
    return tirx.reinterpret("float32", tirx.shift_left(exponent + _i32(127), _i32(23)))


def _exp(x: ir.Var) -> ir.Expr:
    """Cephes expf: x is n * ln 2 + r, with r from half of ln 2 below zero to half above."""
    # Beyond these the result is zero or infinite.
    inside = tirx.max(tirx.min(x, _f32(89.0)), _f32(-105.0))

    def from_parts(n: ir.Var, r: ir.Var) -> ir.Expr:
        fraction = _polynomial(
            r,
            (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5),
        )
        power = n.astype("int32")
        # In two factors, as 2**n itself may be too large or too small where the product is not.
        half = tirx.shift_right(power, _i32(1))
        scaled = (fraction * r * r + r + _f32(1.0)) * _power_of_two(half) * _power_of_two(power - half)
        return tirx.Select(tirx.isnan(x), x, scaled)

    def from_clamped(c: ir.Var) -> ir.Expr:
        n = tirx.floor(c * _f32(_LOG2_E) + _f32(0.5))
        return _bind(
            n, lambda n: _bind(c - n * _f32(_LN2_HIGH) - n * _f32(_LN2_LOW), lambda r: from_parts(n, r))
        )

    return _bind(inside, from_clamped)


def _sigmoid(x: ir.Var) -> ir.Expr:
    return _f32(1.0) / (_f32(1.0) + _bind(_f32(0.0) - x, _exp))


def _log(x: ir.Var) -> ir.Expr:
    """Cephes logf: x is m * 2**n, with m from the square root of one half to that of two."""
    tiny = x < _f32(1.17549435e-38)
    bits = tirx.reinterpret("int32", tirx.Select(tiny, x * _f32(8388608.0), x))

    def from_parts(m: ir.Var, n: ir.Var, below: ir.Expr) -> ir.Expr:
        value = tirx.Select(below, m + m, m) - _f32(1.0)
        power = (n - tirx.Select(below, _i32(1), _i32(0)) - tirx.Select(tiny, _i32(23), _i32(0))).astype(
            "float32"
        )
        return _bind(value, lambda v: _bind(power, lambda p: _log_of_parts(x, v, p)))

    def from_bits(b: ir.Var) -> ir.Expr:
        n = tirx.shift_right(b, _i32(23)) - _i32(126)
        mantissa = tirx.bitwise_or(tirx.bitwise_and(b, _i32(0x007FFFFF)), _i32(0x3F000000))
        return _bind(
            tirx.reinterpret("float32", mantissa),
            # TVM 0.27 refuses variables that hold vectors of bool.
            lambda m: _bind(n, lambda n: from_parts(m, n, m < _f32(0.70710678118))),
        )

    return _bind(bits, from_bits)


def _log_of_parts(x: ir.Var, v: ir.Var, power: ir.Var) -> ir.Expr:
    series = _polynomial(
        v,
        (
            7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
            -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
        ),
    )  # fmt: skip
    square = v * v
    result = series * v * square + power * _f32(_LN2_LOW) - square * _f32(0.5) + v + power * _f32(_LN2_HIGH)
    infinity, nan = tirx.const(float("inf"), "float32"), tirx.const(float("nan"), "float32")
    positive = tirx.Select(x < infinity, result, x)
    return tirx.Select(x > _f32(0.0), positive, tirx.Select(tirx.EQ(x, _f32(0.0)), -infinity, nan))


def _saturated(x: ir.Var, value: ir.Expr, limit: float) -> ir.Expr:
    """``value``, and beyond the limits exactly -1 and 1: a GELU multiplies the difference by x."""
    low = tirx.Select(x <= _f32(-limit), _f32(-1.0), value)
    return tirx.Select(tirx.isnan(x), x, tirx.Select(x >= _f32(limit), _f32(1.0), low))


def _tanh(x: ir.Var) -> ir.Expr:
    """The rational approximation that Eigen uses, odd over even powers."""

    def ratio(c: ir.Var, square: ir.Var) -> ir.Expr:
        odd = _polynomial(
            square,
            (
                -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
                1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
            ),
        )  # fmt: skip
        even = _polynomial(
            square, (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
        )
        return _saturated(x, c * odd / even, 9.01)

    return _bind(_clamp(x, 7.90531110763549805), lambda c: _bind(c * c, lambda square: ratio(c, square)))


def _erf(x: ir.Var) -> ir.Expr:
    """The rational approximation that Eigen uses, odd over even powers."""

    def ratio(c: ir.Var, square: ir.Var) -> ir.Expr:
        odd = _polynomial(
            square,
            (
                -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
                -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02,
            ),
        )  # fmt: skip
        even = _polynomial(
            square,
            (
                -1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
                -1.42647390514189e-02,
            ),
        )  # fmt: skip
        return _saturated(x, c * odd / even, 4.0)

    return _bind(_clamp(x, 4.0), lambda c: _bind(c * c, lambda square: ratio(c, square)))


_EXPANSIONS: dict[str, Callable[[ir.Var], ir.Expr]] = {
    "tirx.exp": _exp,
    "tirx.log": _log,
    "tirx.sigmoid": _sigmoid,
    "tirx.tanh": _tanh,
    "tirx.erf": _erf,
}
