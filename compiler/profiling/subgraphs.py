"""What the subgraphs of accelerators are made of, on the machine that runs them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from paddle_tvm.runtime import ffi
from paddle_tvm.runtime.loader import LoadedModel


class Primitive(NamedTuple):
    """One step of a subgraph: what it does, with which code, on tensors of which layouts.

    The latter two are empty where the accelerator does not tell them.
    """

    what: str
    implementation: str
    layouts: str


class _Text(ffi.Object, type_index=65):
    """``TVMFFIStringObj``: a string longer than seven bytes."""

    __slots__ = ()

    def text(self) -> str:
        return ffi.read_bytes(self.address).decode()


def describe_subgraphs(model: LoadedModel, threads: int) -> Mapping[str, Sequence[Primitive]]:
    """The steps of the subgraphs that tell them, by symbol.

    Parameters
    ----------
    model
        A loaded artifact.
    threads
        Threads that it is to run with, for which the steps are made.
    """
    model.prepare(threads)
    described = {}
    for symbol in model.variant.loads:
        try:
            describe = model.library.module.find(f"{symbol}_describe", True)
        except KeyError:
            continue
        told = describe()
        assert isinstance(told, _Text)
        described[symbol] = tuple(Primitive(*step) for step in json.loads(told.text()))
    return described
