"""The linear transforms of Winograd convolutions, as matrices and as expressions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import tirx

# Points at which the polynomials are evaluated, for each tile. Of those for 4 that keep the symmetry
# which halves the additions, these have the smallest error: a quarter of that of 0, 1, -1, 2, -2.
_POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 0.5**0.5, -(0.5**0.5), 2.0**0.5, -(2.0**0.5))}

Matrix = npt.NDArray[np.float64]


def transform_matrices(m: int) -> tuple[Matrix, Matrix, Matrix]:
    """Matrices A, G, B of ``output = A [(G weight G^T) * (B input B^T)] A^T`` (Toom and Cook).

    Returns
    -------
    A of shape [m, m + 2], G of shape [m + 2, 3], B of shape [m + 2, m + 2].
    """
    points = np.array(_POINTS[m])
    size = m + 2
    outputs, weights, inputs = np.zeros((m, size)), np.zeros((size, 3)), np.zeros((size, size))
    for row, point in enumerate(points):
        others = np.delete(points, row)
        outputs[:, row] = point ** np.arange(m)
        weights[row] = point ** np.arange(3) / np.prod(point - others)
        inputs[row, :-1] = np.poly(others)[::-1]
    # The point at infinity.
    outputs[-1, -1] = weights[-1, -1] = 1
    inputs[-1] = np.poly(points)[::-1]
    # What rounding leaves of a zero would cost an addition.
    inputs[np.abs(inputs) < 1e-12] = 0
    return outputs, weights, inputs


def _sum(terms: list[tirx.Expr]) -> tirx.Expr:
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


def _scaled(value: tirx.Expr, factor: float) -> tirx.Expr:
    return value if np.float32(factor) == 1 else value * tirx.const(factor, "float32")


def _choose_row(row: Any, rows: list[tirx.Expr]) -> tirx.Expr:
    """The expression of a row whose number unrolling makes a constant."""
    result = rows[-1]
    for number in reversed(range(len(rows) - 1)):
        result = tirx.if_then_else(row == number, rows[number], result)
    return result


def input_row(matrix: Matrix, row: Any, read: Any) -> tirx.Expr:
    """A row of matrix B times a vector.

    The rows of opposite points have the same sum of even terms, and opposite sums of odd ones: written so
    that LLVM sees it.
    """

    def terms(coefficients: Matrix, start: int) -> list[tirx.Expr]:
        places = range(start, len(coefficients), 2)
        return [_scaled(read(place), coefficients[place]) for place in places if coefficients[place] != 0]

    rows = [_sum([*terms(matrix[0], 0), *terms(matrix[0], 1)])]
    for number in range(1, len(matrix) - 1, 2):
        even, odd = _sum(terms(matrix[number], 0)), _sum(terms(matrix[number], 1))
        rows += [even + odd, even - odd]
    rows.append(_sum([*terms(matrix[-1], 0), *terms(matrix[-1], 1)]))
    return _choose_row(row, rows)


def output_row(matrix: Matrix, row: Any, read: Any) -> tirx.Expr:
    """A row of matrix A times a vector; the values of opposite points are added or subtracted first."""
    rows = []
    for number, coefficients in enumerate(matrix):
        terms = [
            _scaled(read(place), coefficients[place])
            for place in (0, len(coefficients) - 1)
            if coefficients[place] != 0
        ]
        for place in range(1, len(coefficients) - 1, 2):
            one, other = read(place), read(place + 1)
            pair = one + other if number % 2 == 0 else one - other
            terms.append(_scaled(pair, coefficients[place]))
        rows.append(_sum(terms))
    return _choose_row(row, rows)
