"""The rules of `sessions` on flat arrays: what Ibis says of lists, said of millions of rows at memory speed."""

from __future__ import annotations

import numpy as np

from prismrec.data.sequences import Sequences


def without_repeats(sequences: Sequences) -> Sequences:
    """Each run of equal neighbours within a row as one value.

    >>> without_repeats(Sequences.from_lists([[1, 1, 2, 1], [1, 1]])).to_lists()
    [[1, 2, 1], [1]]
    """
    values, offsets = sequences.values, sequences.offsets
    if not len(values):
        return sequences
    keep = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=keep[1:])
    starts = offsets[:-1]
    keep[starts[starts < offsets[1:]]] = True  # a row's first value stays, whatever ended the row before
    return _kept(sequences, keep)


def without_missing(sequences: Sequences) -> Sequences:
    """Rows without their negative values."""
    keep = sequences.values >= 0
    return sequences if keep.all() else _kept(sequences, keep)


def within_lengths(sequences: Sequences, shortest: int, longest: int) -> Sequences:
    """Rows above `longest` cut into pieces of that length, then rows and pieces below `shortest` dropped.

    >>> within_lengths(Sequences.from_lists([[1, 2, 3, 4, 5], [6]]), shortest=2, longest=2).to_lists()
    [[1, 2], [3, 4]]
    """
    lengths = sequences.lengths
    n_pieces = -(-lengths // longest)
    row_ends = np.cumsum(n_pieces)
    place = np.arange(n_pieces.sum()) - np.repeat(row_ends - n_pieces, n_pieces)
    pieces = np.minimum(np.repeat(lengths, n_pieces) - place * longest, longest)
    keep = pieces >= shortest
    return Sequences.from_lengths(sequences.values[np.repeat(keep, pieces)], pieces[keep])


def _kept(sequences: Sequences, keep: np.ndarray) -> Sequences:
    before = np.concatenate([[0], np.cumsum(keep)])
    return Sequences(sequences.values[keep], before[sequences.offsets])


__all__ = ["within_lengths", "without_missing", "without_repeats"]
