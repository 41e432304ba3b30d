"""The forms that a depthwise convolution of blocked activations can have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from paddle_tvm.targets.workload import WORKLOAD, Config, Workload
from paddle_tvm.targets.x86.conv2d import Window
from paddle_tvm.targets.x86.sliding_window import ROWS_OF_UNIT, WIDEST, WIDEST_TILE, rows_of_unit

_WIDEST = (4, 5, 6, 7, 8, 10, 12, 14)


@dataclass(frozen=True)
class Depthwise(Workload):
    """A depthwise convolution.

    Attributes
    ----------
    batch, rows, columns
        Sizes of the input; None where not known.
    channels
        Channels.
    kernel, strides, dilation
        (height, width).
    padding
        top, left, bottom, right.
    lanes
        Channels in a block.

    The parameters of a form: ``widest`` is the most positions of a row whose sums are held in registers,
    ``unit`` the rows that a thread takes at once.
    """

    operator: ClassVar[str] = "depthwise_conv2d"

    batch: int | None
    rows: int | None
    columns: int | None
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int, int, int]
    lanes: int

    def family(self) -> tuple[object, ...]:
        return (self.kernel, self.strides, self.dilation, self.lanes)

    def sizes(self) -> tuple[int | None, ...]:
        return (self.batch, self.rows, self.columns, self.channels)

    def flops(self) -> int | None:
        rows, columns = self._output()
        if self.batch is None or rows is None or columns is None:
            return None
        return 2 * self.batch * self.channels * rows * columns * self.kernel[0] * self.kernel[1]

    def default(self) -> Config:
        return {"widest": WIDEST_TILE, "unit": rows_of_unit(self._output()[0])}

    def candidates(self) -> Sequence[Config]:
        rows, columns = self._output()
        # For rows of unknown length the widths of tiles are chosen when it runs.
        widths = _WIDEST if columns is not None else (WIDEST_TILE,)
        units = range(1, 33) if rows is None else [n for n in range(1, rows + 1) if _even(rows, n)]
        forms = [{"widest": widest, "unit": unit} for widest in widths for unit in units]
        default = self.default()
        return forms if default in forms else [default, *forms]

    def notes(self, config: Config) -> Mapping[str, Any]:
        return {WORKLOAD: self.key, WIDEST: config["widest"], ROWS_OF_UNIT: config["unit"]}

    def _output(self) -> tuple[int | None, int | None]:
        window = Window(self.kernel, self.strides, self.dilation, self.padding[:2], self.padding[2:])
        rows, columns = (
            None if size is None else window.output(size, axis)
            for axis, size in enumerate((self.rows, self.columns))
        )
        return rows, columns


def _even(rows: int, unit: int) -> bool:
    """Whether the last unit is nearly as large as the others, and not all other divisions are as coarse."""
    units = -(-rows // unit)
    return units * unit - rows < max(1, unit // 4) and -(-rows // units) == unit
