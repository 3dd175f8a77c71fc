"""A program that one process of a crew runs: `python crew_talk.py FOLDER SCENE`; what it found it writes as JSON."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from prismrec.cluster.process_group import process_group
from prismrec.errors import DataError


def agree(crew):
    values = np.array([0.1, 1e16, -1e16], np.float64)[:3] * (crew.rank + 1)
    return {
        "total": crew.total(values).tobytes().hex(),
        "singles": crew.total(np.full((2, 2), crew.rank + 1, np.float32)).tolist(),
        "none": crew.total(np.zeros((0, 4), np.float32)).shape,
        "counts": crew.total(np.array([2**40 + crew.rank])).tolist(),
        "most": crew.most(-5 + crew.rank),
        "first": crew.first(f"says {crew.rank}"),
        "gather": crew.gather("é" * crew.rank),
        "wait": crew.wait(),
        "place": [crew.rank, crew.size],
    }


def one_fails(crew):
    if crew.rank == 1:
        raise DataError("row 7 is bad")
    crew.wait()


def one_is_killed(crew):
    if crew.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    crew.wait()


def one_is_killed_once(crew):
    folder = Path(sys.argv[1])
    lives = len(list(folder.glob(f"life-{crew.rank}-*")))
    (folder / f"life-{crew.rank}-{lives}").touch()
    crew.wait()
    if crew.rank == 1 and not lives:
        os.kill(os.getpid(), signal.SIGKILL)
    crew.wait()


SCENES = {
    "agree": agree,
    "one_fails": one_fails,
    "one_is_killed": one_is_killed,
    "one_is_killed_once": one_is_killed_once,
}


def main():
    folder, scene = Path(sys.argv[1]), sys.argv[2]
    with process_group(timeout_seconds=30) as crew:
        (folder / f"{crew.rank}.json").write_text(json.dumps(SCENES[scene](crew)))


if __name__ == "__main__":
    main()
