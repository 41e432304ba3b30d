"""Einstein summation against Paddle."""

from __future__ import annotations

import paddle
import pytest


@pytest.mark.parametrize(
    ("equations", "shapes"),
    [
        (["ij,jk->ik", "ij,jk->ki", "ij,jk", "ij,jk->", "ij,jk->j", "ij,jk->ijk"], [(3, 4), (4, 5)]),
        (["i,j->ij", "i,j->", "i,j->ji"], [(3,), (4,)]),
        (["bqhd,bkhd->bhqk", "bqhd,bkhd->bqhk", "bqhd,bkhd->qkd"], [(2, 3, 2, 4), (2, 5, 2, 4)]),
        (["...ij,...jk->...ik", "...ij,...jk->ik...", "aij,ajk->aik"], [(2, 3, 4), (2, 4, 5)]),
        (["...ij,jk->...ik"], [(2, 2, 3, 4), (4, 5)]),
        (["ii->i", "ii->", "ij->ji", "ij->j", "...j->..."], [(4, 4)]),
        (["ab,bc,cd->ad", "ab,bc,cd->da"], [(2, 3), (3, 4), (4, 5)]),
        (["bnm,bnm->b", "bnm,bnm->bm"], [(2, 3, 4), (2, 3, 4)]),
    ],
)
def test_einsum(check_op, rng, equations, shapes):
    # Heads and features, the last two of four axes, are known in every model.
    dynamic = [tuple(range(min(len(shape), 3 if len(shape) < 4 else 2))) for shape in shapes]
    inputs = [rng.standard_normal(shape).astype("float32") for shape in shapes]
    check_op(lambda *xs: [paddle.einsum(equation, *xs) for equation in equations], *inputs, dynamic=dynamic)


def test_einsum_broadcasts_dimensions_of_one(check_op, rng):
    x = rng.standard_normal((1, 3, 4)).astype("float32")
    y = rng.standard_normal((2, 4, 5)).astype("float32")
    check_op(lambda x, y: paddle.einsum("...ij,...jk->...ik", x, y), x, y, dynamic=[(1, 2), (0, 1, 2)])
