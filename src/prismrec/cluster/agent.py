"""The process that starts the workers, watches them and starts all again when one is lost: torchrun's agent.

`python -m prismrec.cluster.agent FOLDER MODULE N_PROCESSES RESTARTS PARENT`, started by `launch`, where PARENT is the
number of that process. It dies with its parent, and its workers (`python -m MODULE FOLDER PARENT`) with it
(`dies_with_parent`), so that nobody has to look for processes left behind.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import uuid
from pathlib import Path

SHUTDOWN_SECONDS = 3600
"""How long workers that were asked to stop may write their checkpoint before they are killed."""

_PR_SET_PDEATHSIG = 1


def dies_with_parent(parent: int) -> None:
    """Let the system send this process SIGTERM when its parent ends, however it does (Linux).

    Args:
        parent: number of the process that started this one: where that is gone already, this one ends at once.
            (In a container the one that started it may well be process 1, which also adopts orphans.)
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")


def main(folder: Path, module: str, n_processes: int, restarts: int) -> None:
    """Run the workers; exits with 1 where some are lost for good, after writing who."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=n_processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=restarts,
        monitor_interval=0.2,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", module, str(folder), str(os.getpid()))
    except ChildFailedError as error:
        ends = {rank: failure.exitcode for rank, failure in error.failures.items()}
        (folder / "agent.json").write_text(json.dumps(ends))
        sys.exit(1)


if __name__ == "__main__":
    dies_with_parent(int(sys.argv[5]))
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))


__all__ = ["SHUTDOWN_SECONDS", "dies_with_parent", "main"]
