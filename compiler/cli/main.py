"""The command ``paddle-tvm``: finds the commands, and turns what goes wrong into messages and exit codes.

A command's module is imported when the command is named, so that ``--help`` needs neither TVM nor Paddle.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import click

from paddle_tvm.compiler.cli.prose import say

INTERRUPTED = 130
"""What a shell reports for a process that SIGINT ended."""

BROKEN_PIPE = 141
"""What a shell reports for a process that SIGPIPE ended."""

# What an operating system refuses: no fault of ours, and a traceback would not help.
_REFUSED_BY_SYSTEM = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS),
    *(errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP),
)


class _ReaderGone(Exception):
    """Whoever read our standard output has closed it."""


@contextmanager
def _closed_pipe_raises() -> Iterator[None]:
    """Give a closed pipe another name, because click would exit with 1 on it, which is a bug's code."""
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGone from error


class _Entry(NamedTuple):
    module: str
    help: str


_COMMANDS = {
    "compile": _Entry("compile", "Compile a saved model into an artifact."),
    "tune": _Entry("tune", "Search faster kernels for a model, and keep them in a log."),
    "run": _Entry("run", "Run an artifact on given or random input."),
    "inspect": _Entry("inspect", "Show what a model or an artifact holds."),
    "verify": _Entry("verify", "Compare an artifact with the model that it came from."),
    "profile": _Entry("profile", "Time an artifact kernel by kernel."),
    "bench": _Entry("bench", "Time an artifact beside other engines."),
    "doctor": _Entry("doctor", "Check that this installation is sound."),
    "targets": _Entry("targets", "List what can be compiled for."),
    "demo": _Entry("demo", "Compile real OCR models and read a picture with them."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"paddle_tvm.compiler.cli.{_COMMANDS[cmd_name].module}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _closed_pipe_raises():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> object:
        with _closed_pipe_raises():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in _COMMANDS.items()])


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"paddle-tvm {version('paddle-tvm')}")
        context.exit()


@click.group(
    cls=_LazyGroup,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 a bug of paddle-tvm, 2 wrong usage, 3 the model cannot be compiled, "
    "4 verification failed, 5 the artifact is corrupt or incompatible.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
def cli() -> None:
    """Compile PaddlePaddle inference models ahead of time, and serve them with a small runtime."""


def run_command_line(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a bug of ours leaves as the exception that it is."""
    try:
        result = cli.main(
            None if arguments is None else list(arguments), prog_name="paddle-tvm", standalone_mode=False
        )
        # Here and not at interpreter exit, where a closed pipe could no longer be handled.
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        _print_usage_error(error)
        return error.exit_code
    except click.ClickException as error:
        say(f"error: {error.format_message()}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        return _end_of(signal.SIGINT)
    except (_ReaderGone, BrokenPipeError):
        _discard_stdout()
        return BROKEN_PIPE
    except OSError as error:
        if error.errno not in _REFUSED_BY_SYSTEM:
            raise
        where = os.fsdecode(error.filename) if error.filename else "cannot write the output"
        say(f"error: {where}: {error.strerror}", err=True)
        return 2
    except MemoryError as error:
        say(f"error: not enough memory: {error or 'an allocation failed'}", err=True)
        return 2
    except Exception as error:
        if _received:
            # Raised in a callback of TVM's, what a signal raises comes back as another exception.
            return _end_of(_received[0])
        # Imported only now, because the runtime's package brings NumPy, which `--help` can do without.
        from paddle_tvm.runtime.errors import PaddleTvmError

        if not isinstance(error, PaddleTvmError):
            raise
        say(f"error: {error}", err=True)
        return error.exit_code


def _print_usage_error(error: click.UsageError) -> None:
    say(f"error: {error.format_message()}", err=True)
    if error.ctx is not None:
        click.echo(f"Try '{error.ctx.command_path} --help'.", err=True)


def _discard_stdout() -> None:
    """Let the interpreter's last flush go nowhere: whoever read our output has gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _open_closed_streams() -> None:
    """Give a closed stdin, stdout or stderr to /dev/null, lest a file of ours gets its number."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w"))


# Signals that are to end this process, once they have come.
_received: list[int] = []


def _leave_on_signal(number: int, frame: FrameType | None) -> None:
    """Unwind, so that temporary files are removed and engines' processes ended."""
    _received.append(number)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _end_of(number: int) -> int:
    """The exit code of a process that a signal ends."""
    if number == signal.SIGINT:
        click.echo("\ninterrupted", err=True)
    return 128 + number


def main() -> None:
    """The entry point of ``paddle-tvm``."""
    _open_closed_streams()
    signal.signal(signal.SIGTERM, _leave_on_signal)
    # A process in the background of a shell ignores it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave_on_signal)
    sys.exit(run_command_line())
