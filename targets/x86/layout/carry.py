"""The pass that carries blocked layouts through a graph.

Bindings are visited in order. Where a rule knows the blocked form of an operator, only that form is
emitted; whoever asks for the plain tensor gets a transform, once. So transforms stand only where blocked
regions begin and end.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import ir, relax

from paddle_tvm.targets.workload import Choices, Defaults
from paddle_tvm.targets.x86.graph_workloads import GraphChoices
from paddle_tvm.targets.x86.layout.blocked import Blocked, block, unblock
from paddle_tvm.targets.x86.layout.channels import Moved, settle, untouched
from paddle_tvm.targets.x86.layout.rules import RULES


class _NamingBuilder:
    """Names what a rule emits like the value that it stands for: names lead back to the model's operators."""

    def __init__(self, builder: relax.BlockBuilder) -> None:
        self.name = ""
        self._builder = builder

    def emit(self, expr: relax.Expr) -> relax.Var:
        return self._builder.emit(expr, self.name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._builder, name)


@relax.expr_functor.mutator
class Carrier(relax.PyExprMutator):  # type: ignore[misc]  # TVM has no types.
    """Rewrites a function; what rules ask of it are its public methods.

    Parameters
    ----------
    lanes
        float32 values in a vector register.
    choices
        Which form each kernel gets.
    amx
        Whether the CPU has AMX.
    """

    def __init__(self, module: tvm.IRModule, lanes: int, choices: Choices, amx: bool) -> None:
        super().__init__(module)
        self.lanes = lanes
        self.amx = amx
        self.choices = choices
        self.graph_choices = GraphChoices(module, choices)
        self._naming = _NamingBuilder(self.builder_)
        self._blocked: dict[relax.Var, Blocked | Moved] = {}
        # Variables that have no plain form yet.
        self._only_blocked: set[relax.Var] = set()
        # Operators that a later one may make part of its own: emitted when somebody asks for their result.
        self._deferred: dict[relax.Var, relax.VarBinding] = {}
        self._bound: dict[relax.Var, relax.Expr] = {}

    @property
    def builder(self) -> relax.BlockBuilder:
        return self._naming

    def find(self, expr: relax.Expr) -> Blocked | None:
        """The blocked form of an operand, where it has one already."""
        known = self._blocked.get(expr) if isinstance(expr, relax.Var) else None
        if isinstance(known, Moved):
            known = settle(self.builder_, known, self.lanes_of(known.channels))
            self._blocked[expr] = known
        return known

    def peek(self, expr: relax.Expr) -> Moved | None:
        """As ``find``, for operators that move channels: nothing is copied yet."""
        known = self._blocked.get(expr) if isinstance(expr, relax.Var) else None
        return untouched(known) if isinstance(known, Blocked) else known

    def movable(self, expr: relax.Expr) -> Moved:
        """As ``blocked``, for operators that move channels."""
        return self.peek(expr) or untouched(self.blocked(expr))

    def lanes_of(self, channels: int) -> int:
        """The width of the blocks of so many channels."""
        return self.graph_choices.block_width(channels, self.lanes)

    def blocked(self, expr: relax.Expr) -> Blocked:
        """The blocked form of an operand [N, C, H, W]; a transform where it has none."""
        known = self.find(expr)
        if known is not None:
            return known
        made = block(self.builder_, self.visit_expr(expr), self.lanes_of(int(expr.ty.shape[1])))
        if isinstance(expr, relax.Var):
            self._blocked[expr] = made
        return made

    def plain(self, expr: relax.Expr) -> relax.Expr:
        """The operand as it is without blocks."""
        return self.visit_expr(expr)

    def producer(self, expr: relax.Expr) -> relax.Expr | None:
        """What a variable of the original function is bound to."""
        return self._bound.get(expr) if isinstance(expr, relax.Var) else None

    def visit_dataflow_block_(self, block: relax.DataflowBlock) -> relax.BindingBlock:
        # What is emitted for a block's operators, blocked forms of parameters too, is unknown outside of it.
        self._blocked.clear()
        return super().visit_dataflow_block_(block)

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        variable, value = binding.var, binding.value
        self._bound[variable] = value
        if isinstance(variable, relax.DataflowVar) and isinstance(value, relax.Call):
            rule = RULES.get(value.op.name) if isinstance(value.op, ir.Op) else None
            self._naming.name = variable.name
            carried = rule(self, value) if rule is not None else None
            if isinstance(carried, Blocked | Moved):
                self._blocked[variable] = carried
                self._only_blocked.add(variable)
                return
            if carried is not None:
                self.set_var_remap(variable, carried)
                return
            if _may_shuffle(value) and (
                value.args[0] in self._only_blocked or value.args[0] in self._deferred
            ):
                self._deferred[variable] = binding
                return
        super().visit_var_binding_(binding)

    def visit_dataflow_var_(self, variable: relax.DataflowVar) -> relax.Expr:
        if variable in self._only_blocked:
            self._only_blocked.remove(variable)
            self.set_var_remap(variable, unblock(self.builder_, self.blocked(variable)))
        elif variable in self._deferred:
            super().visit_var_binding_(self._deferred.pop(variable))
        return super().visit_dataflow_var_(variable)


def _may_shuffle(call: relax.Call) -> bool:
    """Whether a call may be the first or second part of a channel shuffle."""
    return isinstance(call.op, ir.Op) and call.op.name in ("relax.reshape", "relax.permute_dims")


def block_channels(
    module: tvm.IRModule, lanes: int, choices: Choices | None = None, *, amx: bool = False
) -> tvm.IRModule:
    """Carry blocked layouts through every Relax function of a module.

    Requires: operators are not legalized yet, weights are constants. Ensures: the same function up to
    rounding, with its inputs and outputs as they were.
    """
    carrier = Carrier(module, lanes, choices or Defaults(), amx)
    for variable, function in module.functions.items():
        if isinstance(function, relax.Function):
            carrier.builder_.update_func(variable, carrier.visit_expr(function))
    return relax.transform.DeadCodeElimination()(carrier.builder_.get())
