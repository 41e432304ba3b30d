"""A predictor does what Paddle Inference's does, and says what is wrong with an input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
from small_models import WEIGHT

from paddle_tvm.runtime import (
    Config,
    DataType,
    Predictor,
    PredictorPool,
    UsageError,
    aligned_empty,
    create_predictor,
)

Array = np.ndarray[Any, Any]
OFFSET = np.array([1.0, 2.0, 3.0], "float32")


@pytest.fixture
def predictor(affine: Path) -> Predictor:
    return create_predictor(Config(str(affine)))


@pytest.fixture
def rows(rng: np.random.Generator) -> Array:
    return rng.standard_normal((5, 4)).astype("float32")


def feed(predictor: Predictor, **arrays: Array) -> None:
    for name, array in arrays.items():
        predictor.get_input_handle(name).copy_from_cpu(array)


def fetch(predictor: Predictor, name: str) -> Array:
    return predictor.get_output_handle(name).copy_to_cpu()


def test_names_come_in_the_order_of_the_model(predictor: Predictor) -> None:
    assert predictor.get_input_names() == ["x", "y"]
    assert predictor.get_output_names() == ["sum", "positive"]


def test_handles_carry_inputs_in_and_outputs_out(predictor: Predictor, rows: Array) -> None:
    handle = predictor.get_input_handle("x")
    handle.reshape([5, 4])
    feed(predictor, x=rows, y=OFFSET)
    assert predictor.run() is None
    np.testing.assert_allclose(fetch(predictor, "sum"), rows @ WEIGHT + OFFSET, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(fetch(predictor, "positive"), rows > 0)
    assert fetch(predictor, "positive").dtype == np.bool_


def test_a_list_of_arrays_gives_a_list_of_arrays(predictor: Predictor, rows: Array) -> None:
    outputs = predictor.run([rows, OFFSET])
    assert outputs is not None
    np.testing.assert_allclose(outputs[0], rows @ WEIGHT + OFFSET, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(outputs[1], rows > 0)


def test_a_tensor_with_a_numpy_method_is_taken(predictor: Predictor, rows: Array) -> None:
    class PaddleTensor:
        def numpy(self) -> Array:
            return rows

    outputs = predictor.run([PaddleTensor(), OFFSET])  # type: ignore[list-item]
    assert outputs is not None
    np.testing.assert_allclose(outputs[0], rows @ WEIGHT + OFFSET, rtol=1e-5, atol=1e-5)


def test_shape_and_type_of_handles(predictor: Predictor, rows: Array) -> None:
    x, total = predictor.get_input_handle("x"), predictor.get_output_handle("sum")
    assert x.name() == "x"
    assert (x.shape(), total.shape()) == ([-1, 4], [-1, 3])
    assert (x.type(), predictor.get_output_handle("positive").type()) == (DataType.FLOAT32, DataType.BOOL)
    feed(predictor, x=rows, y=OFFSET)
    predictor.run()
    assert (x.shape(), total.shape()) == ([5, 4], [5, 3])
    assert total.lod() == []


def test_an_input_is_copied(predictor: Predictor, rows: Array) -> None:
    expected = rows @ WEIGHT + OFFSET
    feed(predictor, x=rows, y=OFFSET)
    rows[:] = 0
    predictor.run()
    np.testing.assert_allclose(fetch(predictor, "sum"), expected, rtol=1e-5, atol=1e-5)


def test_an_output_is_the_callers(predictor: Predictor, rows: Array) -> None:
    feed(predictor, x=rows, y=OFFSET)
    predictor.run()
    first = fetch(predictor, "sum")
    kept = first.copy()
    feed(predictor, x=rows + 1)
    predictor.run()
    np.testing.assert_array_equal(first, kept)
    first[:] = 0
    assert fetch(predictor, "sum").any()


def test_an_output_that_is_an_input_is_not_overwritten(pair: Path) -> None:
    predictor = create_predictor(Config(str(pair)))
    ones = np.ones((2, 4), "float32")
    feed(predictor, x=ones, y=ones, flag=np.zeros(2, bool), scalar=np.array(4, "int64"))
    predictor.run()
    feed(predictor, x=ones * 7)
    np.testing.assert_array_equal(fetch(predictor, "same"), ones)


@pytest.mark.parametrize(
    "lay_out",
    [
        pytest.param(np.asfortranarray, id="fortran"),
        pytest.param(lambda a: np.repeat(a, 2, axis=0)[::2], id="strided"),
        pytest.param(lambda a: a[::-1].copy()[::-1], id="reversed"),
        pytest.param(lambda a: a.astype(">f4"), id="byte-swapped"),
        pytest.param(lambda a: np.frombuffer(a.tobytes(), "float32").reshape(a.shape), id="read-only"),
        pytest.param(
            lambda a: np.frombuffer(b"x" + a.tobytes(), "float32", offset=1).reshape(a.shape), id="unaligned"
        ),
    ],
)
def test_inputs_of_any_layout(predictor: Predictor, rows: Array, lay_out: Callable[[Array], Array]) -> None:
    feed(predictor, x=lay_out(rows), y=OFFSET)
    predictor.run()
    np.testing.assert_allclose(fetch(predictor, "sum"), rows @ WEIGHT + OFFSET, rtol=1e-5, atol=1e-5)


def test_tensors_without_elements_and_without_dimensions(pair: Path) -> None:
    predictor = create_predictor(Config(str(pair)))
    empty = np.empty((0, 4), "float32")
    outputs = predictor.run([empty, empty, np.empty(0, bool), np.array(21, "int64")])
    assert outputs is not None
    assert [output.shape for output in outputs] == [(0, 4), (0,), (), (0, 4)]
    assert outputs[2] == 42


def test_the_exact_specialisation_comes_first(predictor: Predictor) -> None:
    outputs = [predictor.run([np.zeros((n, 4), "float32"), OFFSET]) for n in (1, 2, 3)]
    firsts = [float(output[0][0, 0]) for output in outputs if output]
    assert firsts == [1.0, 1001.0, 1.0]


def test_a_specialisation_that_ties_dimensions_comes_before_the_general_form(tmp_path: Path) -> None:
    predictor = create_predictor(Config(str(small_models.tied(tmp_path / "tied.pdtvm"))))
    marks = {}
    for shape in ((3, 5), (3, 3), (4, 4), (3, 4), (4, 3)):
        outputs = predictor.run([np.zeros(shape, "float32")])
        assert outputs is not None
        marks[shape] = float(outputs[0][0, 0])
    # 4 x 4 alone has a size for every dimension; of the others, [n, n] and [n, 4] leave one open.
    assert marks == {(3, 5): 0, (3, 3): 1, (4, 4): 3, (3, 4): 2, (4, 3): 0}


def test_shapes_that_were_not_compiled_are_listed(fixed: Path) -> None:
    predictor = create_predictor(Config(str(fixed)))
    with pytest.raises(UsageError, match=r"it takes x \[1, 4\]; x \[3, 4\]; got x \[2, 4\]"):
        predictor.run([np.zeros((2, 4), "float32")])


def test_reshape_to_another_size_asks_for_data(fixed: Path) -> None:
    predictor = create_predictor(Config(str(fixed)))
    handle = predictor.get_input_handle("x")
    handle.copy_from_cpu(np.ones((3, 4), "float32"))
    handle.reshape([3, 4])
    predictor.run()
    handle.reshape([1, 4])
    with pytest.raises(UsageError, match=r"'x' has the shape \[1, 4\] and no data"):
        predictor.run()


def test_shared_memory_is_read_at_every_run(fixed: Path) -> None:
    predictor = create_predictor(Config(str(fixed)))
    memory = aligned_empty((1, 4), "float32")
    predictor.get_input_handle("x").share_external_data(memory)
    for value in (1.0, 2.0):
        memory[:] = value
        predictor.run()
        assert fetch(predictor, "twice").tolist() == [[2 * value] * 4]
    predictor.get_input_handle("x").copy_from_cpu(np.zeros((1, 4), "float32"))
    assert memory.tolist() == [[2.0] * 4]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(aligned_empty((1, 8), "float32")[:, ::2], id="strided"),
        pytest.param(aligned_empty((5,), "float32")[1:].reshape(1, 4), id="unaligned"),
        pytest.param(aligned_empty((1, 4), "float64"), id="dtype"),
        pytest.param(aligned_empty((4,), "float32"), id="rank"),
        pytest.param([[1.0] * 4], id="list"),
    ],
)
def test_memory_that_cannot_be_shared_is_refused(fixed: Path, data: object) -> None:
    predictor = create_predictor(Config(str(fixed)))
    with pytest.raises(UsageError, match="input 'x'"):
        predictor.get_input_handle("x").share_external_data(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((5, 4)), "input 'x': expected float32, got float64"),
        (np.zeros((5, 4), "int32"), "expected float32, got int32"),
        (np.zeros(4, "float32"), "expected 2 dimensions, got 1"),
        (np.zeros((5, 3), "float32"), "expected 4 in dimension 1, got 3"),
        (np.zeros((65, 4), "float32"), r"expected 1 to 64 in dimension 0 \(batch\), got 65"),
        (np.zeros((0, 4), "float32"), r"expected 1 to 64 in dimension 0 \(batch\), got 0"),
        ([[1.0] * 4], "expected a numpy.ndarray, got list"),
    ],
)
def test_a_wrong_input_is_named(predictor: Predictor, data: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        predictor.get_input_handle("x").copy_from_cpu(data)
    with pytest.raises(UsageError, match=message):
        predictor.run([data, OFFSET])


def test_inputs_that_disagree_are_named(pair: Path) -> None:
    predictor = create_predictor(Config(str(pair)))
    told = "disagree on 'n': dimension 0 of 'x' is 2, and dimension 0 of 'y' is 3; the artifact "
    with pytest.raises(UsageError, match=told + "was compiled with them equal.*--shape 'x=n,4 y=3,4'"):
        predictor.run(
            [np.ones((2, 4), "float32"), np.ones((3, 4), "float32"), np.zeros(2, bool), np.array(1, "int64")]
        )


def test_names_that_do_not_exist(predictor: Predictor) -> None:
    with pytest.raises(UsageError, match="no input 'z': the model has 'x', 'y'"):
        predictor.get_input_handle("z")
    with pytest.raises(UsageError, match="no output 'x': the model has 'sum', 'positive'"):
        predictor.get_output_handle("x")


def test_a_run_without_all_inputs(predictor: Predictor, fixed: Path, rows: Array) -> None:
    feed(predictor, x=rows)
    with pytest.raises(UsageError, match="input 'y' has no data"):
        predictor.run()
    with pytest.raises(UsageError, match=r"expected 2 inputs \('x', 'y'\), got 1"):
        predictor.run([rows])
    one = create_predictor(Config(str(fixed)))
    with pytest.raises(UsageError, match=r"expected 1 input \('x'\), got 2"):
        one.run([rows, rows])
    with pytest.raises(UsageError, match="takes a list of arrays, got dict"):
        predictor.run({"x": rows})  # type: ignore[arg-type]


def test_a_failed_run_leaves_the_predictor_usable(predictor: Predictor, rows: Array) -> None:
    with pytest.raises(UsageError):
        predictor.run([rows.astype("float64"), OFFSET])
    outputs = predictor.run([rows, OFFSET])
    assert outputs is not None
    np.testing.assert_allclose(outputs[0], rows @ WEIGHT + OFFSET, rtol=1e-5, atol=1e-5)


def test_an_output_before_the_first_run(predictor: Predictor) -> None:
    with pytest.raises(UsageError, match="output 'sum' has no data"):
        fetch(predictor, "sum")


def test_handles_have_a_direction(predictor: Predictor) -> None:
    with pytest.raises(UsageError, match="'x' is an input: it has no copy_to_cpu"):
        predictor.get_input_handle("x").copy_to_cpu()
    with pytest.raises(UsageError, match="'sum' is an output: it has no copy_from_cpu"):
        predictor.get_output_handle("sum").copy_from_cpu(OFFSET)


def test_a_level_of_detail_is_refused(predictor: Predictor) -> None:
    predictor.get_input_handle("x").set_lod([])
    with pytest.raises(UsageError, match="dense tensors"):
        predictor.get_input_handle("x").set_lod([[0, 2, 5]])


def test_a_clone_shares_weights_and_nothing_else(predictor: Predictor, rows: Array) -> None:
    clone = predictor.clone()
    assert clone._model.weights is predictor._model.weights
    feed(predictor, x=rows, y=OFFSET)
    predictor.run()
    with pytest.raises(UsageError, match="no data"):
        clone.run()
    outputs = clone.run([rows + 1, OFFSET])
    assert outputs is not None
    np.testing.assert_allclose(outputs[0], (rows + 1) @ WEIGHT + OFFSET, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(fetch(predictor, "sum"), rows @ WEIGHT + OFFSET, rtol=1e-5, atol=1e-5)


def test_a_pool_gives_predictors_of_their_own(affine: Path, rows: Array) -> None:
    pool = PredictorPool(Config(str(affine)), 3)
    assert pool.retrieve(1) is pool.retrive(1)
    assert len({id(pool.retrieve(i)) for i in range(3)}) == 3
    for i in range(3):
        outputs = pool.retrieve(i).run([rows + i, OFFSET])
        assert outputs is not None
        np.testing.assert_allclose(outputs[0], (rows + i) @ WEIGHT + OFFSET, rtol=1e-5, atol=1e-5)
    with pytest.raises(UsageError, match="predictors 0 to 2, got 3"):
        pool.retrieve(3)
    with pytest.raises(UsageError, match="at least 1"):
        PredictorPool(Config(str(affine)), 0)
