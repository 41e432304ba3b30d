"""Makes one of functions that are equal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import tvm
import tvm_ffi
from tvm import ir, relax, tirx

from paddle_tvm.compiler.passes.redirect import Redirect

# Names of functions that many operators were fused in are cut here.
_LONGEST_NAME = 120


@tvm.ir.transform.module_pass(opt_level=0, name="MergeFunctions")  # type: ignore[untyped-decorator]  # TVM has no types
def merge_functions(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Merge TIR functions, and fused ones, that are equal; name and order them by their first call.

    TVM 0.27's builder merges functions that have the same hash. Where sizes are symbolic that depends on
    addresses: what it merges, and with it all names, changes from run to run.

    Ensures: the same functions, none twice; the same module in every run.
    """
    return _Merger(order_sizes(module)).merge()


@tvm.ir.transform.module_pass(opt_level=0, name="OrderSizes")  # type: ignore[untyped-decorator]  # TVM has no types
def order_sizes(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Have TIR functions take sizes in the order in which their shapes show them.

    Those that TVM 0.27 makes of expressions, or fuses, take them in the order of addresses.
    """
    orders = {
        variable: order
        for variable, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc) and (order := _order(function)) != sorted(order)
    }
    redirect = Redirect({}, orders)
    functions = {}
    for variable, function in module.functions.items():
        if isinstance(function, relax.Function):
            function = redirect.visit_expr(function)
        elif variable in orders:
            params = [function.params[place] for place in orders[variable]]
            function = tirx.PrimFunc(params, function.body, function.ret_type, function.attrs)
        functions[variable] = function
    return tvm.IRModule(functions, attrs=module.attrs)


class _Merger:
    def __init__(self, module: tvm.IRModule) -> None:
        self._module = module
        self._names = {variable.name_hint for variable in module.functions}
        self._kept: dict[ir.GlobalVar, ir.BaseFunc] = {}
        # What stands for each function of the module.
        self._merged: dict[ir.GlobalVar, ir.GlobalVar] = {}
        self._by_name: defaultdict[str, list[ir.GlobalVar]] = defaultdict(list)

    def merge(self) -> tvm.IRModule:
        forms = {
            variable: function for variable, function in self._module.functions.items() if _is_form(function)
        }
        rewritten = {variable: self._rewrite(function) for variable, function in forms.items()}
        return tvm.IRModule({**rewritten, **self._kept}, attrs=self._module.attrs)

    def _rewrite(self, function: relax.Function) -> relax.Function:
        for callee in _callees(function):
            self._merge(callee)
        return Redirect(self._merged).visit_expr(function)

    def _merge(self, variable: ir.GlobalVar) -> None:
        if variable in self._merged:
            return
        function = self._module[variable]
        if isinstance(function, relax.Function):
            function = self._rewrite(function)
        name = self._name(variable)
        # Its name is no part of what it computes.
        bare = function.without_attr("global_symbol")
        for other in self._by_name[name]:
            if tvm_ffi.structural_equal(self._kept[other].without_attr("global_symbol"), bare, True):
                self._merged[variable] = other
                return
        count = len(self._by_name[name])
        kept = ir.GlobalVar(f"{name}{count}" if count else name)
        relax.expr._update_type(kept, variable.ty)
        if function.attrs is not None and "global_symbol" in function.attrs:
            function = function.with_attr("global_symbol", kept.name_hint)
        self._by_name[name].append(kept)
        self._kept[kept] = function
        self._merged[variable] = kept

    def _name(self, variable: ir.GlobalVar) -> str:
        """The name without the number that tells it from others."""
        function = self._module[variable]
        if isinstance(function, relax.Function):
            parts = [self._name(callee) for callee in _callees(function)]
            return "_".join(["fused", *parts])[:_LONGEST_NAME].rstrip("0123456789")
        name = str(variable.name_hint)
        bare = name.rstrip("0123456789")
        return bare if bare in self._names else name


def _order(function: tirx.PrimFunc) -> list[int]:
    """The places of parameters, with those that are sizes in the order in which shapes show them."""
    shown: list[ir.Var] = []
    sizes = []
    for place, param in enumerate(function.params):
        if isinstance(param.ty, tirx.BufferType):
            for dim in param.shape:
                tvm_ffi.structural_walk(dim, (ir.Var, shown.append))
        else:
            sizes.append(place)

    def first(place: int) -> int:
        size = function.params[place]
        return next((at for at, variable in enumerate(shown) if variable.same_as(size)), len(shown))

    order = list(range(len(function.params)))
    for place, size in zip(sizes, sorted(sizes, key=first), strict=True):
        order[place] = size
    return order


def _is_form(function: ir.BaseFunc) -> bool:
    """Whether a function is one of the model's, and none that operators were fused in."""
    return isinstance(function, relax.Function) and not (
        function.attrs is not None and "Primitive" in function.attrs
    )


def _callees(function: relax.Function) -> Iterator[ir.GlobalVar]:
    """The functions of the module that it calls, by call, in order."""
    for block in function.body.blocks:
        for binding in block.bindings:
            value = binding.value
            if isinstance(value, relax.Call):
                yield from (node for node in (value.op, *value.args) if isinstance(node, ir.GlobalVar))
