"""What Spark throws, as a DataError with the one line that helps: no stack of Java, no py4j."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from prismrec.errors import DataError

_NAMED = re.compile(r"\[[A-Z][A-Z0-9_.]+\] .*")
_THROWN = re.compile(r"^: (?:[\w.$]+: )?(.+)$", re.MULTILINE)
"""After py4j's own line, which says where and not what."""

_CAUSE = re.compile(r"^Caused by: (?:[\w.$]+: )?(.+)$", re.MULTILINE)


@contextmanager
def named_errors() -> Iterator[None]:
    """Raise what Spark throws as a DataError.

    Raises:
        DataError: Spark could not evaluate something.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise DataError(f"the engine could not evaluate the tables: {useful_line(str(error))}") from error


def useful_line(text: str) -> str:
    """The line of an error of Spark that says what is wrong.

    Spark names its own errors in brackets, the innermost last; other errors of Java say it in their last cause.

    >>> useful_line("Job aborted.\\n\\tat a.b.c\\nCaused by: java.io.IOException: No space left on device\\n\\tat d")
    'No space left on device'
    """
    named: list[str] = _NAMED.findall(text)
    causes: list[str] = _CAUSE.findall(text)
    within = [line for cause in causes for line in _NAMED.findall(cause)]
    if causes:
        return (within or causes)[-1].strip()
    plain = (line.strip() for line in text.splitlines())
    found: list[str] = [*named, *_THROWN.findall(text), *(line for line in plain if line), "no message"]
    return found[0].strip()


__all__ = ["named_errors", "useful_line"]
