"""What has done its work ends with its own exit code, whatever would happen while an interpreter winds down."""

import os
import subprocess
import sys

import pytest

from prismrec.cluster.outcomes import read_outcomes
from prismrec.crew_fitting import Job
from prismrec.settings import build_settings

ABORTS_AT_THE_END = """
import atexit, os, runpy, sys
atexit.register(os.abort)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


def run(module, *arguments, **environment):
    """The module as a program, in an interpreter that does not survive its own end."""
    kept = {name: value for name, value in os.environ.items() if name not in ("MASTER_ADDR", "TORCHELASTIC_RUN_ID")}
    command = [sys.executable, "-c", ABORTS_AT_THE_END, module, *map(str, arguments)]
    return subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, timeout=120)


def test_worker_that_left_its_outcome_is_not_lost(tmp_path):
    Job(prepared="data", run_folder="run", identity={}, settings=build_settings({}, [])).write(tmp_path)
    ended = run("prismrec.worker", tmp_path, os.getpid(), RANK="1")
    assert ended.returncode == 0, ended.stderr
    assert [outcome.kind for outcome in read_outcomes(tmp_path)] == ["ConfigError"]  # nobody told it of the others


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["train"], 2)])
def test_command_under_torchrun_ends_with_its_own_code(arguments, code):
    ended = run("prismrec", *arguments, TORCHELASTIC_RUN_ID="one")
    assert ended.returncode == code, ended.stderr
    assert ended.stdout if code == 0 else ended.stderr
    assert run("prismrec", *arguments).returncode < 0, "else this test would say nothing"
