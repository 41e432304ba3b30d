"""``--shape``: inputs, sets, and what is refused."""

from __future__ import annotations

import pytest

from paddle_tvm.compiler.cli.shape_option import parse_one_shape_set, parse_shapes
from paddle_tvm.runtime.errors import UsageError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        (["x=1,3,224,224"], [{"x": (1, 3, 224, 224)}]),
        (["x=-1,3,h,?"], [{"x": (-1, 3, "h", -1)}]),
        (["scalar="], [{"scalar": ()}]),
        (["ids=1,16", "mask=1,1,1,16"], [{"ids": (1, 16), "mask": (1, 1, 1, 16)}]),
        (["x=1,8;x=2,8"], [{"x": (1, 8)}, {"x": (2, 8)}]),
        (["x=1,8", "x=2,8"], [{"x": (1, 8)}, {"x": (2, 8)}]),
        (["a=1 b=2; a=3 b=4"], [{"a": (1,), "b": (2,)}, {"a": (3,), "b": (4,)}]),
        (["a=1", "b=2", "a=3", "b=4"], [{"a": (1,), "b": (2,)}, {"a": (3,), "b": (4,)}]),
        (["x=1,8;"], [{"x": (1, 8)}, {}]),
        (["a:b/c=1"], [{"a:b/c": (1,)}]),
    ],
)
def test_reads(values: list[str], expected: list[dict[str, tuple[int, ...]]]) -> None:
    assert parse_shapes(values) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1,3"], "no input name"),
        (["x"], "no input name"),
        (["=1"], "no input name"),
        (["x=1,,3"], "is no dimension"),
        (["x=1.5"], "is no dimension"),
        (["x=-2"], "is no dimension"),
        ([";"], "names no input"),
        (["a=1;b=2"], "every set must name the same inputs"),
    ],
)
def test_refuses(values: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_shapes(values)


def test_one_set_of_numbers_where_a_command_takes_one() -> None:
    assert parse_one_shape_set(["x=1,3"]) == {"x": (1, 3)}
    with pytest.raises(UsageError, match="gives 2 sets"):
        parse_one_shape_set(["x=1,3;x=2,3"])
    with pytest.raises(UsageError, match="must be a number"):
        parse_one_shape_set(["x=n,3"])
