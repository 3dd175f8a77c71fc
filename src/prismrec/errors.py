"""Everything PrismRec raises on purpose.

PrismRecError
├── ConfigError     (ValueError)         a setting is unknown, of the wrong type, or contradicts another
├── DataError       (ValueError)         a table, file or column is not what it should be
├── UnknownIdError  (KeyError)           an id that the vocabulary does not hold
├── NotFittedError  (RuntimeError)       asked for an answer before there is a model
├── TrainingError   (ArithmeticError)    a loss or vector stopped being finite
├── ArtifactError   (OSError)            a bundle, checkpoint or prepared folder is missing, damaged or too new
├── ResourceError   (OSError)            the machine has too little memory or disk for what was asked
├── CrewError       (ConnectionError)    a process that trains together with others is gone
└── MissingExtraError (ImportError)      an optional dependency is needed: says which extra installs it

Each is also the matching builtin, so that code which knows nothing of PrismRec can catch it. A message says what
was expected, what came (value, row, file) and what to do.
"""


class PrismRecError(Exception):
    """Base class of all errors that PrismRec raises on purpose."""

    def __str__(self) -> str:  # KeyError would print the repr of its message
        return str(self.args[0]) if self.args else ""


class ConfigError(PrismRecError, ValueError):
    """A setting is unknown, has the wrong type, or contradicts another."""


class DataError(PrismRecError, ValueError):
    """An input table, file or column is not what it should be."""


class UnknownIdError(PrismRecError, KeyError):
    """An id that is not in the vocabulary."""


class NotFittedError(PrismRecError, RuntimeError):
    """An answer was asked for before there was a model."""


class TrainingError(PrismRecError, ArithmeticError):
    """A loss or a vector stopped being finite; names the task and the step."""


class ArtifactError(PrismRecError, OSError):
    """A bundle, checkpoint or prepared folder is missing, damaged or from a newer version."""


class ResourceError(PrismRecError, OSError):
    """The machine has too little memory, disk, shared memory or open files for what was asked."""


class CrewError(PrismRecError, ConnectionError):
    """A process that trains together with others is gone, or they do not reach each other; names its rank."""


class MissingExtraError(PrismRecError, ImportError):
    """An optional dependency is needed; the message names the extra that installs it."""


__all__ = [
    "ArtifactError",
    "ConfigError",
    "CrewError",
    "DataError",
    "MissingExtraError",
    "NotFittedError",
    "PrismRecError",
    "ResourceError",
    "TrainingError",
    "UnknownIdError",
]
