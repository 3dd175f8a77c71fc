"""Who ends with whom; what the agent does with workers is tested in `test_launch`."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
from prismrec.cluster.agent import dies_with_parent
os.getppid = lambda: {actual}
dies_with_parent({told})
print("goes on")
"""


def run(actual, told):
    code = PROGRAM.format(actual=actual, told=told)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_process_1_may_be_the_parent_as_in_a_container():
    assert run(actual=1, told=1).stdout == "goes on\n"


@pytest.mark.parametrize("adopted_by", [1, 4711])
def test_process_whose_parent_is_gone_ends_at_once(adopted_by):
    ended = run(actual=adopted_by, told=99)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "the process that started this one is gone\n")


def test_agent_of_another_parent_starts_no_workers(tmp_path):
    command = [sys.executable, "-m", "prismrec.cluster.agent", str(tmp_path), "no_such_module", "1", "0"]
    ended = subprocess.run([*command, str(os.getppid())], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "the process that started this one is gone\n")
