"""One of the processes that train a model together: `python -m prismrec.worker FOLDER PARENT`, started by the agent.

Ends with 0 when it is done, and also when starting again would not help: it then leaves an `Outcome`. Ends with 1 when
another process is gone: torchrun then starts all of them again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from prismrec.cluster.agent import dies_with_parent
from prismrec.cluster.ending import end_at_once
from prismrec.cluster.outcomes import Outcome, forget_outcome
from prismrec.cluster.process_group import CrewStopped, process_group
from prismrec.crew_fitting import read_job, train_in_crew
from prismrec.errors import CrewError, PrismRecError
from prismrec.training.interrupts import TrainingInterrupted
from prismrec.training.progress import make_progress


def main(folder: Path) -> int:
    """Do the job in `folder`; the exit code."""
    rank = int(os.environ["RANK"])
    forget_outcome(folder, rank)
    job = read_job(folder)
    try:
        with process_group(job.settings.training.device, job.settings.sharding.timeout_seconds) as crew:
            train_in_crew(job, crew, make_progress("json", sys.stdout))
    except TrainingInterrupted as stop:
        Outcome(rank, "TrainingInterrupted", str(stop), stop.exit_code - 128).write(folder)
    except CrewStopped as error:
        Outcome(rank, "CrewError", str(error)).write(folder)
    except CrewError as error:
        print(error, file=sys.stderr)
        return 1
    except PrismRecError as error:
        Outcome(rank, type(error).__name__, str(error)).write(folder)
    return 0


if __name__ == "__main__":
    dies_with_parent(int(sys.argv[2]))
    end_at_once(main(Path(sys.argv[1])))


__all__ = ["main"]
