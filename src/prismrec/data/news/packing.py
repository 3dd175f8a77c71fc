"""Texts as arrays of numbers, as an encoder in a bundle keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def pack(name: str, texts: Sequence[str]) -> dict[str, NDArray]:
    """`<name>.text`: the bytes of all texts one after the other, UTF-8; `<name>.ends`: where each ends."""
    parts = [text.encode("utf-8") for text in texts]
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    return {f"{name}.text": np.frombuffer(b"".join(parts), np.uint8), f"{name}.ends": ends}


def unpack(name: str, arrays: Mapping[str, NDArray]) -> tuple[str, ...]:
    """The texts that `pack` packed.

    Raises:
        ValueError: the bytes are no UTF-8.
    """
    data, ends = arrays[f"{name}.text"].tobytes(), arrays[f"{name}.ends"].tolist()
    return tuple(data[begin:end].decode("utf-8") for begin, end in zip([0, *ends], ends, strict=False))


__all__ = ["pack", "unpack"]
