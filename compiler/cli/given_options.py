"""Refuses options that would have no effect."""

from __future__ import annotations

from collections.abc import Sequence

import click

from paddle_tvm.runtime.errors import UsageError


def refuse_given(context: click.Context, names: Sequence[str], why: str) -> None:
    """Refuse options, by the names of their parameters, that were given on the command line.

    Raises
    ------
    UsageError
        One was given; the message goes on with ``why`` after "--one, --other are".
    """
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in names
        and context.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} {why}")
