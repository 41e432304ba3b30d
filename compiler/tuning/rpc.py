"""Times forms of kernels on other machines, through the RPC of TVM."""

from __future__ import annotations

import socket

from tvm import rpc

from paddle_tvm.compiler.tuning.measure import Measurer
from paddle_tvm.compiler.tuning.messages import Machines
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.base import Target

_CONNECT_S = 10.0


class RpcMeasurer(Measurer):
    """Builds forms of kernels here, and times them on machines that a TVM tracker knows, many at once.

    A machine runs ``python -m tvm.exec.rpc_server --tracker HOST:PORT --key NAME`` of the same TVM; what
    is sent there brings the launcher of parallel loops with it, so they run as those of an artifact. A form
    whose machine is lost before it ran is tried on another one.

    Parameters
    ----------
    target
        What to build for: the CPU of the machines.
    threads
        How many threads forms are timed with.
    host, port
        Of the tracker.
    key
        By which the machines have registered.
    wait_s
        How long to wait for one that is free.
    seed, build_jobs, build_limit_s, run_limit_s, memory_limit_bytes
        As for ``Measurer``.

    Raises
    ------
    UsageError
        The tracker does not answer or has no such machine; or there is no C compiler.
    """

    def __init__(
        self,
        target: Target,
        threads: int,
        host: str,
        port: int,
        key: str,
        seed: int = 0,
        build_jobs: int | None = None,
        build_limit_s: float = 20.0,
        run_limit_s: float = 20.0,
        memory_limit_bytes: int = 4 << 30,
        wait_s: float = 120.0,
    ) -> None:
        self._machines = Machines(host, port, key, wait_s)
        count_machines(self._machines)
        super().__init__(
            target,
            threads,
            seed,
            build_jobs,
            build_limit_s,
            run_limit_s,
            memory_limit_bytes,
            self._machines,
        )

    def _at_once(self) -> int:
        return count_machines(self._machines)


def count_machines(machines: Machines) -> int:
    """How many machines the tracker knows, free or not.

    Raises
    ------
    UsageError
        The tracker does not answer or has no such machine.
    """
    host, port, key = machines.host, machines.port, machines.key
    try:
        # TVM would try for a minute.
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
        servers = rpc.connect_tracker(host, port).summary()["server_info"]
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"no TVM tracker answers at {host}:{port} ({error}): start one there with "
            f"python -m tvm.exec.rpc_tracker --host 0.0.0.0 --port {port} --port-end {port + 1}"
        ) from error
    keys = [str(server["key"]).removeprefix("server:") for server in servers]
    if key not in keys:
        raise UsageError(
            f"the tracker at {host}:{port} has no machine with the key {key!r}, but "
            f"{', '.join(sorted(set(keys))) or 'none at all'}: start python -m tvm.exec.rpc_server "
            f"--tracker {host}:{port} --key {key} on one"
        )
    return keys.count(key)
