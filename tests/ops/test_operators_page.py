"""The list of supported operators in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_tvm.compiler.frontends.paddle import registry
from paddle_tvm.compiler.operators_page import operators_page

CORE = """shape shape64 full full_int_array full_with_tensor full_like add subtract multiply divide
floor_divide scale matmul bmm conv2d depthwise_conv2d conv2d_transpose batch_norm_ pool2d relu relu6 sigmoid
tanh gelu silu swish hardswish hardsigmoid leaky_relu prelu softmax layer_norm group_norm instance_norm
reshape transpose flatten squeeze unsqueeze concat stack split split_with_num slice strided_slice expand tile
cast dropout assign assign_value_ embedding nearest_interp bilinear_interp mean sum max min argmax clip pow
sqrt rsqrt exp log abs floor equal not_equal less_than greater_than greater_equal logical_and logical_or
logical_not where arange cumsum pad3d rnn topk gather gather_nd""".split()


def test_the_page_is_in_step_with_the_registry():
    page = Path(__file__).parents[2] / "docs" / "operators.md"
    assert page.read_text() == operators_page(), "run `make docs`"


def test_the_core_operators_of_the_model_families_are_supported():
    supported = set(registry.supported_operators())
    assert {f"pd_op.{name}" for name in CORE} <= supported
    assert {"builtin.parameter", "builtin.combine", "builtin.split"} <= supported


def test_an_operator_has_one_converter():
    with pytest.raises(ValueError, match=r"two converters for pd_op\.relu"):
        registry.register("relu")(lambda ctx: ctx.input(0))
