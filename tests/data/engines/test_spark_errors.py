"""Errors of Spark in one line: the innermost reason, never a stack."""

import pytest
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from prismrec.data.engines.spark_errors import named_errors, useful_line
from prismrec.errors import DataError

JOB = """An error occurred while calling o1.parquet.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 1.0 failed 1 times
\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2000)
Caused by: org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows. SQLSTATE: 58030
\tat a.b.c(D.scala:1)
Caused by: org.apache.spark.SparkArithmeticException: [ARITHMETIC_OVERFLOW] long overflow. SQLSTATE: 22003
\t... 10 more
"""


def test_the_innermost_error_that_spark_names_is_told():
    assert useful_line(JOB) == "[ARITHMETIC_OVERFLOW] long overflow. SQLSTATE: 22003"


def test_a_cause_outside_spark_is_told_where_spark_names_nothing():
    text = "Job aborted.\n\tat a.b\nCaused by: java.io.IOException: No space left on device\n\tat c.d"
    assert useful_line(text) == "No space left on device"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[TABLE_NOT_FOUND] There is no table `x`.;\n'Project [*]\n+- 'x", "[TABLE_NOT_FOUND] There is no table `x`.;"),
        ("\n  something else\nmore", "something else"),
        ("", "no message"),
    ],
)  # fmt: skip
def test_plain_errors_are_told_by_their_first_line(text, line):
    assert useful_line(text) == line


@pytest.mark.parametrize("error", [PySparkException("[X_Y] bad"), Py4JError("[X_Y] bad")])
def test_errors_become_data_errors(error):
    with pytest.raises(DataError, match=r"^the engine could not evaluate the tables: \[X_Y\] bad$"), named_errors():
        raise error


def test_other_errors_pass():
    with pytest.raises(KeyError), named_errors():
        raise KeyError("x")


def test_what_java_throws_without_a_cause_is_the_line_after_that_of_py4j():
    text = (
        "An error occurred while calling o7.parquet.\n"
        ': org.apache.hadoop.UnsupportedFileSystemException: No FileSystem for scheme "nowhere"\n\tat a.b(D.java:1)\n'
    )
    assert useful_line(text) == 'No FileSystem for scheme "nowhere"'
