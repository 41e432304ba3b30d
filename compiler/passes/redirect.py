"""Has functions call others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tvm import ir, relax


@relax.expr_functor.mutator
class Redirect(relax.PyExprMutator):  # type: ignore[misc]  # TVM has no types
    """Rewrites a function so that it calls others.

    Parameters
    ----------
    callees
        What stands for a function; those that are not there stay.
    orders
        For TIR functions whose parameters have another order by now: the place that each of them had.
    """

    def __init__(
        self,
        callees: Mapping[ir.GlobalVar, ir.GlobalVar],
        orders: Mapping[ir.GlobalVar, Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        self.callees = callees
        self.orders = orders or {}

    def visit_global_var_(self, variable: ir.GlobalVar) -> ir.GlobalVar:
        return self.callees.get(variable, variable)

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        order = (
            self.orders.get(call.args[0]) if call.args and isinstance(call.args[0], ir.GlobalVar) else None
        )
        if order is not None:
            fields = call.args[1].fields
            # Outputs are no arguments here.
            operands = relax.Tuple([fields[place] for place in order if place < len(fields)])
            call = relax.Call(call.op, [call.args[0], operands, *call.args[2:]], call.attrs, call.ty_args)
        return super().visit_call_(call)
