"""The forms that a contraction can have on a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from math import log2, prod
from typing import Any, ClassVar, get_args

from tvm import relax

from paddle_tvm.targets.cuda.product import PRODUCT, Product
from paddle_tvm.targets.cuda.tile import Engine, Tile, cycles, tiles
from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.workload import WORKLOAD, Config, EmittedWorkload

TILE = "paddle_tvm.tile"
"""Annotation: the tile of a contraction."""

ENGINE = "paddle_tvm.engine"
"""Annotation: what multiplies."""

# Sizes that are not known are taken for these.
_ROWS, _COLUMNS, _DEPTH, _BATCH = 2048, 1024, 1024, 8
# By so much the estimates of forms may differ that are about as good.
_ABOUT = 1.15
_SPLITS = (1, 2, 4, 8, 16)
# Results of which each part of a divided product writes a copy.
_MOST_SPLIT = 1 << 20


@dataclass(frozen=True)
class CudaProduct(EmittedWorkload):
    """Products of matrices [rows, depth] and [depth, columns]; convolutions are some.

    Attributes
    ----------
    batch
        How many products.
    rows, columns, depth
        None where not known.
    engine
        What multiplies.
    left, right
        How the operands lie in memory: along which axis, in runs of what length.

    The parameters of a form: a ``rows`` x ``columns`` tile of results by a block of threads, ``depth``
    products at a time, ``part_rows`` x ``part_columns`` of them by a warp or, without tensor cores, by a
    thread. The depth is divided into ``splits`` parts.
    """

    operator: ClassVar[str] = "cuda_product"

    batch: int | None
    rows: int | None
    columns: int | None
    depth: int | None
    engine: str
    left: str
    right: str

    def default(self) -> Config:
        return min(self.candidates(), key=self._cycles)

    def candidates(self) -> Sequence[Config]:
        return [
            {**_config(tile), "splits": splits}
            for tile in tiles(self._engine)
            for splits in _SPLITS
            if self._divides(splits, tile)
        ]

    def _divides(self, splits: int, tile: Tile) -> bool:
        if splits == 1:
            return True
        if self.rows is None or self.columns is None or self.depth is None or self.batch != 1:
            return False
        fits = self.depth % splits == 0 and self.depth // splits % tile.depth == 0
        return fits and splits * self.rows * self.columns <= _MOST_SPLIT

    def agrees(self, config: Config) -> bool:
        return self._cycles(config) <= _ABOUT * self._cycles(self.default())

    def family(self) -> tuple[object, ...]:
        return (self.engine, self.left, self.right)

    def sizes(self) -> tuple[int | None, ...]:
        return (self.batch, self.rows, self.columns, self.depth)

    def flops(self) -> int | None:
        known = [size for size in self.sizes() if size is not None]
        return 2 * prod(known) if len(known) == len(self.sizes()) else None

    def traits(self, config: Config) -> Mapping[str, float]:
        # A form has parameters of the same names as these sizes.
        sizes = {"m": self.rows, "n": self.columns, "k": self.depth}
        known = {name: log2(1 + size) for name, size in sizes.items() if size is not None}
        tile = _tile(config)
        rows, columns = self.rows or _ROWS, self.columns or _COLUMNS
        tiles_of_all = ceil_div(rows, tile.rows) * ceil_div(columns, tile.columns)
        return {
            **known,
            "blocks of threads": log2((self.batch or _BATCH) * config["splits"] * tiles_of_all),
            "threads of a block": tile.threads(self._engine),
            "analytic model": log2(self._cycles(config) / self._cycles(self.default())),
        }

    def notes(self, config: Config) -> Mapping[str, Any]:
        return {WORKLOAD: self.key, TILE: list(astuple(_tile(config))), ENGINE: self.engine}

    def is_one_function(self, config: Config) -> bool:
        return config["splits"] == 1

    def emit(
        self, builder: relax.BlockBuilder, function: Any, call: relax.Call, config: Config
    ) -> relax.Expr:
        product = Product.from_key(str(function.attrs[PRODUCT]))
        left, right, *_ = call.args[1].fields
        (result,) = call.ty_args
        return product.emit(builder, left, right, result.shape, config, self.notes(config))

    def _cycles(self, config: Config) -> float:
        return cycles(
            _tile(config),
            config["splits"],
            self.batch or _BATCH,
            self.rows or _ROWS,
            self.columns or _COLUMNS,
            self.depth or _DEPTH,
            self._engine,
        )

    @property
    def _engine(self) -> Engine:
        engines: tuple[Engine, ...] = get_args(Engine)
        for engine in engines:
            if engine == self.engine:
                return engine
        raise ValueError(f"engine {self.engine!r}: expected one of {engines}")


def tile_of(annotations: Mapping[str, Any]) -> Tile:
    """The tile that a block is annotated with."""
    return Tile(*(int(size) for size in annotations[TILE]))


def _tile(config: Config) -> Tile:
    names = ("rows", "columns", "depth", "part_rows", "part_columns")
    return Tile(*(config[name] for name in names))


def _config(tile: Tile) -> dict[str, int]:
    names = ("rows", "columns", "depth", "part_rows", "part_columns")
    return dict(zip(names, astuple(tile), strict=True))
