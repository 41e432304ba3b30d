"""Kernels that have more than one form: what is to be computed, the forms, and which one it gets."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from types import UnionType
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, get_args, get_origin, get_type_hints

import numpy.typing as npt

Config: TypeAlias = Mapping[str, int]
"""Values of the parameters of a kernel, by name. A parameter that is missing is left to the schedule."""

Shapes: TypeAlias = tuple[tuple[int, ...], ...]
"""Shapes of tensors that a workload of unknown sizes was measured with; none where all sizes are known."""

Origin: TypeAlias = Literal["default", "tuned", "transferred"]

WORKLOAD = "paddle_tvm.workload"
"""Annotation of a kernel's main block: the workload that it computes, as ``Workload.key`` gives it."""

_OPERATORS: dict[str, type[Workload]] = {}


class UnknownWorkloadError(ValueError):
    """A workload that another version wrote: its operator or one of its fields is not known."""


@dataclass(frozen=True)
class Workload(ABC):
    """All that decides how fast a form of a kernel is, apart from the machine.

    Those of an operator are frozen dataclasses of ints, None (a size that is not known), strings and tuples
    of those.
    """

    operator: ClassVar[str]

    def __init_subclass__(cls) -> None:
        if "operator" not in cls.__dict__:
            return
        if cls.operator in _OPERATORS:
            raise TypeError(f"two workloads have the operator {cls.operator!r}")
        _OPERATORS[cls.operator] = cls

    @staticmethod
    def from_key(key: str) -> Workload:
        """The workload of a key; raises as ``workload_from_json``."""
        return workload_from_json(json.loads(key))

    @property
    def key(self) -> str:
        """The workload as JSON, the same for the same workload."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps({"operator": self.operator, **values}, separators=(",", ":"))

    @abstractmethod
    def default(self) -> Config:
        """The form that the analytic model takes."""

    @abstractmethod
    def candidates(self) -> Sequence[Config]:
        """Every form, in an order that does not change."""

    def fits(self, config: Config) -> bool:
        """Whether this version has a form, one from a record or of another workload."""
        return _form(config) in _forms(self)

    def agrees(self, config: Config) -> bool:
        """Whether the analytic model takes a form that fits for about as good as the default."""
        return True

    def family(self) -> tuple[object, ...]:
        """What another workload must have in common with it for its form to be worth taking over.

        By default all there is: nothing is taken over.
        """
        return tuple(getattr(self, field.name) for field in fields(self))

    def sizes(self) -> tuple[int | None, ...]:
        """Sizes in which the workloads of a family differ."""
        return ()

    @abstractmethod
    def flops(self) -> int | None:
        """Floating-point operations of the mathematics, whatever the form; None where a size is not known."""

    def least_flops(self) -> float | None:
        """Those of the form that needs the fewest; None where a size is not known.

        A form that does not compute by multiply-adds of float32 has as many of these as take its time.
        """
        return self.flops()

    def is_of(self, operators: Collection[str]) -> bool:
        """Whether it is a workload of one of some operators, or of a kind that derives from theirs."""
        return any(kind.__dict__.get("operator") in operators for kind in type(self).__mro__)

    def traits(self, config: Config) -> Mapping[str, float]:
        """Numbers of a form that a cost model is told beside its parameters and the workload's sizes."""
        return {}

    @abstractmethod
    def notes(self, config: Config) -> Mapping[str, Any]:
        """Annotations of the kernel's main block that tell the schedule its form; WORKLOAD is among them."""


class PackedWorkload(Workload):
    """A workload whose second operand, a weight, is packed at compile time, as its form has it."""

    @abstractmethod
    def compute(self, config: Config) -> Callable[..., Any]:
        """The tensor expression of a form, a function of the kernel's operands."""

    @property
    @abstractmethod
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight in the model's layout."""

    @abstractmethod
    def packed_shape(self, config: Config) -> tuple[int, ...]:
        """Shape of what ``pack`` returns; forms of the same shape read the weight in the same order."""

    @abstractmethod
    def pack(self, config: Config, weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A weight in the order in which a form reads it."""


class EmittedWorkload(Workload):
    """A workload some of whose forms are several functions, one after the other."""

    @abstractmethod
    def is_one_function(self, config: Config) -> bool:
        """Whether a form is one function, which ``notes`` tell from those of other such forms."""

    @abstractmethod
    def emit(self, builder: Any, function: Any, call: Any, config: Config) -> Any:
        """Compute it in a form.

        Parameters
        ----------
        builder
            The ``relax.BlockBuilder`` that gets the functions.
        function
            The TIR function that computes it in a form of one function.
        call
            The ``relax.call_tir`` of that.
        config
            The form.

        Returns
        -------
        relax.Expr
            What stands for the call.
        """


@dataclass(frozen=True)
class GraphWorkload(Workload):
    """A choice above kernels: only the time of a whole model tells its forms apart.

    Attributes
    ----------
    graph
        The model: what is best in one says nothing of another.
    """

    graph: str

    def stands_for(self, config: Config) -> Mapping[GraphWorkload, Config]:
        """The choices that a form makes, each with its form: its own, or those of others that it joins."""
        return {self: config}

    def flops(self) -> int | None:
        return None

    def notes(self, config: Config) -> Mapping[str, Any]:
        return {}


def known_operators() -> list[str]:
    """The operators of workloads; those of a target are known once it is imported."""
    return sorted(_OPERATORS)


def workload_from_json(value: object) -> Workload:
    """The workload whose ``key`` this is, parsed; those of a target are known once it is imported.

    Raises
    ------
    UnknownWorkloadError
        Its operator is not known, or its fields are not those of the operator.
    ValueError
        It is no object, or a field has another type.
    """
    if not isinstance(value, dict):
        raise ValueError(f"workload: expected an object, got {value!r:.80}")
    given = dict(value)
    operator = given.pop("operator", None)
    found = _OPERATORS.get(operator) if isinstance(operator, str) else None
    if found is None:
        raise UnknownWorkloadError(f"workload: the operator {operator!r:.80} is not known")
    kinds = _field_types(found.operator)
    if set(given) != set(kinds):
        odd = ", ".join(sorted(map(str, set(given) ^ set(kinds))))
        raise UnknownWorkloadError(f"workload: the fields of {operator} are others by now: {odd:.200}")
    return found(**{name: _read(given[name], kind, f"workload.{name}") for name, kind in kinds.items()})


@lru_cache
def _field_types(operator: str) -> dict[str, Any]:
    workload = _OPERATORS[operator]
    hints = get_type_hints(workload)
    return {field.name: hints[field.name] for field in fields(workload)}


def _read(value: object, kind: Any, where: str) -> Any:
    """A field from JSON, in which tuples are lists."""
    if get_origin(kind) is UnionType:
        if value is None:
            return None
        (kind,) = (choice for choice in get_args(kind) if choice is not type(None))
    if get_origin(kind) is not tuple:
        # bool is a subclass of int, so types are compared.
        if type(value) is not kind:
            raise ValueError(f"{where}: expected {kind.__name__}, got {value!r:.80}")
        return value
    items = get_args(kind)
    if isinstance(value, list) and items[-1] is Ellipsis:
        items = items[:1] * len(value)
    if not isinstance(value, list) or len(value) != len(items):
        raise ValueError(f"{where}: expected {kind}, got {value!r:.80}")
    return tuple(_read(item, of, where) for item, of in zip(value, items, strict=True))


def _form(config: Config) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(config.items()))


# A convolution may have a thousand forms.
@lru_cache(maxsize=64)
def _forms(workload: Workload) -> frozenset[tuple[tuple[str, int], ...]]:
    return frozenset(map(_form, (workload.default(), *workload.candidates())))


@dataclass(frozen=True)
class Choice:
    """The form that a workload gets, and where that comes from.

    ``source`` names the record, for what is not the default.
    """

    config: Config
    origin: Origin = "default"
    source: str | None = None


class Choices(Protocol):
    """Decides which form each workload gets."""

    def of(self, workload: Workload) -> Choice: ...


class Defaults:
    """The analytic model's choices."""

    def of(self, workload: Workload) -> Choice:
        return Choice(workload.default())
