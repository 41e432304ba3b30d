"""The forms that a convolution of blocked activations can have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod
from typing import Any, ClassVar

import numpy.typing as npt
from tvm import te

from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.workload import WORKLOAD, Config, PackedWorkload
from paddle_tvm.targets.x86 import winograd
from paddle_tvm.targets.x86.conv2d import Window
from paddle_tvm.targets.x86.direct import direct, pack_weight, tiled_points
from paddle_tvm.targets.x86.tile import (
    CHUNKS,
    FEW_CHANNELS,
    Tile,
    choose_tile,
    possible_tiles,
    tile_efficiency,
)
from paddle_tvm.targets.x86.winograd_plan import Plan, best_plan, near_plans, relative_cost
from paddle_tvm.targets.x86.winograd_plan import Workload as WinogradWork

# Most row chunks that are tried.
_MOST_CHUNKS = 64
# Winograd's plans are tried up to this cost, relative to that of the best one by the model.
_WORTH_TRYING = 1.5
# By so much the model's costs of forms may differ that are about as good.
_ABOUT = 1.15
# Most tiles of a map that are laid across the ends of its rows: each is written out.
_MOST_ACROSS = 8
# By so much such tiles have to be better, and so many units of work there have to be.
_BETTER, _UNITS_ACROSS = 1.05, 8
# The model's plans are for machines of two cores and more.
_THREADS = 2


@dataclass(frozen=True)
class Conv2d(PackedWorkload):
    """A convolution.

    Attributes
    ----------
    batch, rows, columns
        Sizes of the input; None where not known.
    channels, outputs
        Of the input, and of the output.
    kernel, strides, dilation
        (height, width).
    padding
        top, left, bottom, right.
    groups
        After narrow ones are merged.
    lanes_in
        Channels in a block of the input; 1 for an input in NCHW.
    lanes
        Channels in a block of the output.

    The parameters of a form: ``winograd`` is the size of its output tiles, 0 for direct convolution, which
    has ``points`` and ``blocks`` (the register tile) and may have ``chunks`` (units of rows for each image
    that threads take; 0: they take blocks of channels), or ``across`` (1: tiles are laid across the ends of
    rows). For the others see ``winograd_plan.Plan``.
    """

    operator: ClassVar[str] = "conv2d"

    batch: int | None
    rows: int | None
    columns: int | None
    channels: int
    outputs: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int, int, int]
    groups: int
    lanes_in: int
    lanes: int

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.strides, self.dilation, self.padding[:2], self.padding[2:])

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.outputs, self.channels // self.groups, *self.kernel)

    def family(self) -> tuple[object, ...]:
        return (self.kernel, self.strides, self.dilation, self.groups, self.lanes_in, self.lanes)

    def sizes(self) -> tuple[int | None, ...]:
        return (self.batch, self.rows, self.columns, self.channels, self.outputs)

    def flops(self) -> int | None:
        rows, columns = self._output()
        if self.batch is None or rows is None or columns is None:
            return None
        return 2 * self.batch * rows * columns * prod(self.weight_shape)

    def least_flops(self) -> float | None:
        flops = self.flops()
        if flops is None or not self._may_winograd():
            return flops
        # F(4x4, 3x3) has 36 multiplications for 16 sums of 9 products, F(2x2, 3x3) 16 for 4.
        return flops / (4 if winograd.is_accurate(self.channels) else 2.25)

    def default(self) -> Config:
        m = self._winograd()
        if m is not None:
            return _plan_config(m, best_plan(self._work(m)))
        points, flat = self._points()
        tile = choose_tile(points, self._blocks(), self.lanes, self._depth(), flat)
        form = {"winograd": 0, "points": tile.points, "blocks": tile.blocks}
        across = max(self._forms_across(), key=self._efficiency, default=form)
        enough = self._units_across(across) >= _UNITS_ACROSS
        return across if enough and self._efficiency(across) >= _BETTER * self._efficiency(form) else form

    def candidates(self) -> Sequence[Config]:
        return [*self._direct_forms(), *self._winograd_forms()]

    def agrees(self, config: Config) -> bool:
        default = self.default()
        if config["winograd"] != default["winograd"]:
            return False
        if config["winograd"]:
            work = self._work(config["winograd"])
            return relative_cost(work, _plan(config)) <= _ABOUT * relative_cost(work, _plan(default))
        return _ABOUT * self._efficiency(config) >= self._efficiency(default)

    def notes(self, config: Config) -> Mapping[str, Any]:
        return {WORKLOAD: self.key, **({CHUNKS: config["chunks"]} if "chunks" in config else {})}

    def compute(self, config: Config) -> Callable[..., Any]:
        if config["winograd"]:
            plan = _plan(config)

            def by_winograd(data: te.Tensor, weight: te.Tensor) -> te.Tensor:
                return winograd.winograd(
                    data,
                    weight,
                    self.window,
                    self.channels,
                    self.outputs,
                    config["winograd"],
                    plan,
                    self.notes(config),
                )

            return by_winograd
        plain = self.outputs if self.outputs <= FEW_CHANNELS else 0
        tile = Tile(config["points"], config["blocks"])
        return lambda data, weight: direct(
            data,
            weight,
            self.window,
            tile,
            self.groups,
            plain,
            self.notes(config),
            across="across" in config,
        )

    def packed_shape(self, config: Config) -> tuple[int, ...]:
        if config["winograd"]:
            size = config["winograd"] + 2
            return (size, size, self._blocks(), self.channels, self.lanes)
        depth = self.channels // self.groups
        step, vectors = gcd(depth, self.lanes_in), config["blocks"]
        packs = ceil_div(self.outputs, vectors * self.lanes)
        return (packs, depth // step, *self.kernel, step, vectors, self.lanes)

    def pack(self, config: Config, weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if config["winograd"]:
            return winograd.transform_weight(weight, config["winograd"], self.lanes_in, self.lanes)
        return pack_weight(weight, self.lanes_in, config["blocks"], self.lanes)

    def _output(self) -> tuple[int | None, int | None]:
        rows, columns = (
            None if size is None else self.window.output(size, axis)
            for axis, size in enumerate((self.rows, self.columns))
        )
        return rows, columns

    def _blocks(self) -> int:
        """Vectors of output channels of a group."""
        return int(ceil_div(self.outputs // self.groups, self.lanes))

    def _depth(self) -> int:
        """Products of an output."""
        return prod(self.weight_shape[1:])

    def _points(self) -> tuple[int | None, bool]:
        """Positions along the tiled axis, and whether that is rows and columns in one."""
        points, flat = tiled_points(self.window, self.rows, self.columns)
        return (points if isinstance(points, int) else None), flat

    def _direct_forms(self) -> Iterator[Config]:
        rows, columns = self._output()
        points, _ = self._points()
        for tile in possible_tiles(points, self._blocks(), self.lanes, self._depth()):
            form = {"winograd": 0, "points": tile.points, "blocks": tile.blocks}
            yield form
            units = rows
            if rows is not None and columns is not None and self.window.is_pointwise():
                # Rows and columns are one axis, and tiles of it the units.
                units = ceil_div(rows * columns, tile.points)
            if units is None or self.outputs <= FEW_CHANNELS:
                continue
            for chunks in range(min(units, _MOST_CHUNKS) + 1):
                if chunks == 0 or units % chunks == 0:
                    yield {**form, "chunks": chunks}

        yield from self._forms_across()

    def _forms_across(self) -> list[Config]:
        """The direct forms whose tiles are laid across the ends of rows."""
        positions, (_, flat) = self._positions(), self._points()
        if positions is None or flat or self.outputs <= FEW_CHANNELS:
            return []
        return [
            {"winograd": 0, "points": tile.points, "blocks": tile.blocks, "across": 1}
            for tile in possible_tiles(positions, self._blocks(), self.lanes)
            if ceil_div(positions, tile.points) <= _MOST_ACROSS
        ]

    def _efficiency(self, form: Config) -> float:
        """Of a direct form, by the model."""
        points = self._positions() if "across" in form else self._points()[0]
        return tile_efficiency(Tile(form["points"], form["blocks"]), points, self.lanes, self._depth())

    def _units_across(self, form: Config) -> int:
        """Units of work for threads, with tiles across the ends of rows."""
        return (self.batch or 1) * self.groups * (self._blocks() // form["blocks"])

    def _positions(self) -> int | None:
        """Positions of an image of the output."""
        rows, columns = self._output()
        return None if rows is None or columns is None else rows * columns

    def _winograd_forms(self) -> Iterator[Config]:
        if not self._may_winograd():
            return
        for m in (2, 4):
            if m == 2 or winograd.is_accurate(self.channels):
                for plan in near_plans(self._work(m), _WORTH_TRYING):
                    yield _plan_config(m, plan)

    def _may_winograd(self) -> bool:
        return (
            self.groups == 1
            and self.outputs > FEW_CHANNELS
            and self.lanes_in > 1
            and winograd.has_form(self.window)
        )

    def _winograd(self) -> int | None:
        """The size of output tiles of the form that the model takes, if that is Winograd's."""
        if not self._may_winograd():
            return None
        return winograd.choose(
            self.window, self.channels, self.outputs, *self._output(), self.lanes, self.batch, _THREADS
        )

    def _work(self, m: int) -> WinogradWork:
        return winograd.workload(
            m, self.channels, self._blocks(), self.lanes, self.batch, *self._output(), _THREADS
        )


_PLAN = ("rows", "columns", "points", "blocks", "group", "shared")


def _plan(config: Config) -> Plan:
    rows, columns, points, blocks, group, shared = (config[name] for name in _PLAN)
    return Plan(rows, columns, points, blocks, group, bool(shared))


def _plan_config(m: int, plan: Plan) -> Config:
    return {"winograd": m, **{name: int(getattr(plan, name)) for name in _PLAN}}
