"""Numbers that stopped being finite, found early and named: NaN spreads, and NaN scores rank anything first."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from prismrec.errors import TrainingError

_REMEDY = "try a lower training.learning_rate"


def check_number(value: float, what: str, where: str) -> None:
    """Refuse a loss, weight or metric that is NaN or infinite.

    Raises:
        TrainingError: naming what it is and where training stands.
    """
    if not math.isfinite(value):
        raise TrainingError(f"{what} is {value} at {where}; {_REMEDY}")


def check_arrays(arrays: Mapping[str, NDArray], where: str) -> None:
    """Refuse model arrays that hold NaN or infinity.

    Raises:
        TrainingError: naming the array, the first bad index and where training stands.
    """
    for name, array in arrays.items():
        index = first_not_finite(array)
        if index is not None:
            raise TrainingError(f"array {name!r} holds {array[index]} at index {list(index)} after {where}; {_REMEDY}")


def first_not_finite(array: NDArray) -> tuple[int, ...] | None:
    """The index of the first NaN or infinity, or None; costs two passes and no memory where all is well."""
    if array.dtype.kind != "f" or array.size == 0:
        return None
    if math.isfinite(array.min()) and math.isfinite(array.max()):
        return None
    return tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])


__all__ = ["check_arrays", "check_number", "first_not_finite"]
