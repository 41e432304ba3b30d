"""Which operators of the model a value of the lowered graph comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tvm import ir, relax

from paddle_tvm.compiler.profiling.fusion_trace import bindings_of
from paddle_tvm.compiler.profiling.kernel_table import Operator
from paddle_tvm.compiler.source_names import SourceOperator, parse_source_name


class Provenance:
    """The operators of one function.

    Parameters
    ----------
    imported
        The function as the frontend made it.
    optimised
        The same when graph passes have merged operators (a batch normalisation into a convolution's
        weights); its names are those that later stages keep.
    arranged
        The same when the target has merged operators and chosen layouts.
    lowered_here
        Relax operators that the target lowers itself.
    offloaded
        The names of the values that an accelerator's calls compute, by the name of the call's result.
    """

    def __init__(
        self,
        imported: relax.Function,
        optimised: relax.Function,
        arranged: relax.Function,
        lowered_here: Collection[str],
        offloaded: Mapping[str, Sequence[str]],
    ) -> None:
        self._offloaded = {name: _sources_of(names) for name, names in offloaded.items()}
        before, after = bindings_of(imported), bindings_of(optimised)
        # Only names of the model's operators are of one value alone.
        named = [variable for variable in after if parse_source_name(variable.name) is not None]
        self._ranks = {variable.name: _rank(variable) for variable in (*named, *optimised.params)}
        self._folded = _folded(before, after)
        alive = _sources(bindings_of(arranged)).union(*self._offloaded.values())
        self._heirs: dict[SourceOperator, SourceOperator] = {
            source: heir for source, (heir, *_) in _heirs(after, alive).items()
        }
        self._joined: dict[SourceOperator, set[SourceOperator]] = {}
        for source, heir in self._heirs.items():
            self._joined.setdefault(heir, set()).add(source)
        self._own = {
            parse_source_name(variable.name)
            for variable, value in bindings_of(arranged).items()
            if isinstance(value, relax.Call)
            and isinstance(value.op, ir.Op)
            and (value.op.name == "relax.call_tir" or value.op.name in lowered_here)
        }

    def heir(self, source: SourceOperator) -> SourceOperator:
        """The operator whose name a value has that the target made of this one and others; or itself."""
        return self._heirs.get(source, source)

    def rank(self, variable: relax.Var) -> int | None:
        """How many axes a value has in the model; None for a value that is not in it."""
        return self._ranks.get(variable.name)

    def of(self, group: Sequence[relax.Var]) -> tuple[tuple[Operator, ...], tuple[Operator, ...]]:
        """The operators that a group of values computes, and those that went into weights or others."""
        sources: set[SourceOperator] = set()
        for variable in group:
            sources |= self._offloaded.get(variable.name) or _sources_of([variable.name])
        for source in list(sources):
            joined = self._joined.get(source, set())
            sources |= joined
            if source in self._own:
                self._own |= joined
        folded = set()
        for source in list(sources):
            for merged in self._folded.get(source, ()):
                sources.add(merged.gone)
                folded.add(merged.folded)
                if merged.folded == source and source in self._own:
                    self._own.add(merged.gone)
        return (self._listed(sources), self._listed(folded))

    def _listed(self, sources: set[SourceOperator]) -> tuple[Operator, ...]:
        return tuple(
            Operator(source.operator.rstrip("_"), source.number, source in self._own)
            for source in sorted(sources, key=lambda source: source.number)
        )


def _rank(variable: relax.Var) -> int | None:
    ty = variable.ty
    return int(ty.ndim) if isinstance(ty, relax.TensorType) and ty.ndim >= 0 else None


def _relax_operator(value: Any) -> str:
    name = getattr(getattr(value, "op", None), "name", type(value).__name__.lower())
    return str(name).removeprefix("relax.").removeprefix("nn.")


class _Merged(NamedTuple):
    """An operator whose name is gone; ``folded`` is the one that went into weights, itself or its heir.

    A convolution whose scale is folded into its weights bears the name of the scale.
    """

    gone: SourceOperator
    folded: SourceOperator


def _heirs(before: Mapping[Any, Any], alive: Collection[SourceOperator]) -> dict[SourceOperator, Any]:
    """For each operator that is gone, the one that is left into which its result went.

    With it, the variables between which that was seen.
    """
    heirs: dict[SourceOperator, tuple[SourceOperator, Any, Any]] = {}
    # From the end: who reads a value that is gone has its heir already.
    for variable, value in reversed(list(before.items())):
        reader = parse_source_name(variable.name)
        if reader is None or (reader not in alive and reader not in heirs):
            continue
        heir = reader if reader in alive else heirs[reader][0]
        for operand in _variables(value):
            source = parse_source_name(operand.name)
            if source is not None and source not in alive:
                heirs[source] = (heir, operand, variable)
    return heirs


def _sources(bindings: Mapping[Any, Any]) -> set[SourceOperator]:
    return _sources_of(variable.name for variable in bindings)


def _sources_of(names: Iterable[str]) -> set[SourceOperator]:
    return {source for name in names if (source := parse_source_name(name)) is not None}


def _folded(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> dict[SourceOperator, set[_Merged]]:
    """For each operator that graph passes have left, those that they merged into it."""
    now = {variable.name: _relax_operator(value) for variable, value in after.items()}
    was = {variable.name: _relax_operator(value) for variable, value in before.items()}
    merged: dict[SourceOperator, set[_Merged]] = {}
    for source, (heir, operand, variable) in _heirs(before, _sources(after)).items():
        operator = now.get(variable.name)
        replaced = operator == was[operand.name] and operator != was[variable.name]
        merged.setdefault(heir, set()).add(_Merged(source, heir if replaced else source))
    return merged


def _variables(value: Any) -> list[relax.Var]:
    if isinstance(value, relax.Call):
        fields = list(value.args)
    elif isinstance(value, relax.Tuple):
        fields = list(value.fields)
    elif isinstance(value, relax.TupleGetItem):
        fields = [value.tuple_value]
    else:
        fields = [value]
    found = []
    for field in fields:
        if isinstance(field, relax.Var):
            found.append(field)
        elif isinstance(field, relax.Tuple):
            found += _variables(field)
    return found
