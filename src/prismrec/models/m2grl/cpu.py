"""The skip-gram step on CPU: one compiled pass per batch, lock-free over threads (Hogwild).

For an anchor with source vector u, contexts v_1..v_m and K negatives n_1..n_K shared by the contexts, with the target's
offset b (see `M2GRLConfig.popularity_offset`), the loss is

    L = sum_j -log s(u.v_j + b_j)  +  m * sum_k -log s(-(u.n_k + b_k))          s(x) = 1 / (1 + exp(-x))

which is skip-gram with K negatives per pair, the same K for all m pairs. A negative that equals one of the contexts is
skipped. Gradients go through fused row-wise Adagrad: a row's step is learning_rate * g / sqrt(sum of its mean(g^2)).

Per anchor the pass reads and writes 1 + m + K rows of 4 * dim bytes: memory traffic is its floor, and the benchmark
compares it with a loop that only moves those rows. The dimension is a compile-time constant, so that the loops over it
unroll into vector instructions; exp is a polynomial for the same reason (error below 2e-7), and the logarithms of the
loss are few: of products over many anchors.

The same code, compiled without `learn_*`, adds plain gradients to separate buffers instead: this is how inter-view
gradients are carried back through the alignment matrix, and how tests compare with other implementations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import cast

import numpy as np
from llvmlite import ir
from numba import get_num_threads, njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from prismrec.models.m2grl.batches import SkipGramBatch

_LOG2_E = np.float32(1.4426950408889634)
_MAX_EXPONENT = np.float32(126.0)
_SMALLEST = 1e-12
_NEARLY_ZERO = 1e-200
_FLOATS_PER_CACHE_LINE = 16
_AHEAD = 3
"""How many anchors ahead rows are asked for: about a microsecond, several times what memory takes to answer."""


@njit(inline="always", fastmath=True)
def _sigmoid(x: np.float32) -> np.float32:
    """Logistic function; exp(-x) = 2^whole * 2^part with a polynomial for 2^part, part in [-0.5, 0.5]."""
    y = np.float32(min(max(-x * _LOG2_E, -_MAX_EXPONENT), _MAX_EXPONENT))
    whole = np.float32(np.floor(y + np.float32(0.5)))
    part = np.float32(y - whole)
    power = np.float32(1.5403530e-4)
    power = power * part + np.float32(1.3333558e-3)
    power = power * part + np.float32(9.6181291e-3)
    power = power * part + np.float32(5.5504109e-2)
    power = power * part + np.float32(2.4022651e-1)
    power = power * part + np.float32(6.9314718e-1)
    power = power * part + np.float32(1.0)
    scale = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
    return np.float32(np.float32(1.0) / (np.float32(1.0) + power * scale))


@intrinsic
def _prefetch(typing_context, table, row, column):  # type: ignore[no-untyped-def]
    """Ask for the cache line of table[row, column] ahead of its use: rows come at random, no hardware foresees them."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        strides = cgutils.unpack_tuple(builder, array.strides)
        wide, byte, flag = ir.IntType(64), ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.add(
            builder.mul(builder.sext(arguments[1], wide), strides[0]),
            builder.mul(arguments[2], strides[1]),
        )
        address = builder.gep(builder.bitcast(array.data, byte), [place])
        function_type = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        for_writing, keep_in_cache, data = (ir.Constant(flag, n) for n in (1, 3, 1))
        builder.call(function, [address, for_writing, keep_in_cache, data])
        return context.get_dummy_value()

    return types.void(table, types.int32, types.int64), generate


@njit(inline="always")
def _prefetch_row(table, row, dim):  # type: ignore[no-untyped-def]
    for column in range(0, dim, _FLOATS_PER_CACHE_LINE):
        _prefetch(table, row, column)


# ---- the parts of a pass, each inlined into it ----


@njit(inline="always")
def _ask_for_rows(source, target, batch_arrays, i, dim):  # type: ignore[no-untyped-def]
    """Prefetch all rows of anchor i."""
    anchors, context_offsets, contexts, negatives = batch_arrays
    _prefetch_row(source, anchors[i], dim)
    for j in range(context_offsets[i], context_offsets[i + 1]):
        _prefetch_row(target, contexts[j], dim)
    for k in range(negatives.shape[1]):
        _prefetch_row(target, negatives[i, k], dim)


@njit(inline="always")
def _collect(rows, contexts, first, m, negatives, i):  # type: ignore[no-untyped-def]
    """Put the m contexts and the negatives that are none of them into `rows`; returns how many there are.

    The loops over rows go in fours: `rows` is filled up with its first, whose gradient will be 0.
    """
    for j in range(m):
        rows[j] = contexts[first + j]
    n = m
    for k in range(negatives.shape[1]):
        candidate = negatives[i, k]
        hit = False
        for j in range(m):
            hit |= rows[j] == candidate
        rows[n] = candidate
        n += 0 if hit else 1
    for j in range(n, (n + 3) // 4 * 4):
        rows[j] = rows[0]
    return n


@njit(inline="always", fastmath=True)
def _score(u, target, target_offsets, rows, n, logits, dim):  # type: ignore[no-untyped-def]
    """logits = u.v + b of every row, four rows at a time so that u is read once for all of them."""
    for j in range(0, n, 4):
        r0, r1, r2, r3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
        s0, s1, s2, s3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for d in range(dim):
            s0 += u[d] * target[r0, d]
            s1 += u[d] * target[r1, d]
            s2 += u[d] * target[r2, d]
            s3 += u[d] * target[r3, d]
        logits[j] = s0 + target_offsets[r0]
        logits[j + 1] = s1 + target_offsets[r1]
        logits[j + 2] = s2 + target_offsets[r2]
        logits[j + 3] = s3 + target_offsets[r3]


@njit(inline="always")
def _loss_of(chances, m, n, products):  # type: ignore[no-untyped-def]
    """Multiply the likelihoods into `products` (0: contexts; m: negatives that count m times); returns what overflowed.

    A product is turned into a loss only when it nears zero, so logarithms are few.
    """
    loss = 0.0
    for j in range(m):
        products[0] *= max(np.float64(chances[j]), _SMALLEST)
        if products[0] < _NEARLY_ZERO:
            loss -= np.log(products[0])
            products[0] = 1.0
    for j in range(m, n):
        products[m] *= max(1.0 - np.float64(chances[j]), _SMALLEST)
        if products[m] < _NEARLY_ZERO:
            loss -= m * np.log(products[m])
            products[m] = 1.0
    return loss


@njit(inline="always", fastmath=True)
def _pull(chances, m, n, weight):  # type: ignore[no-untyped-def]
    """Turn chances into minus the derivative of the weighted loss by each logit; 0 for the rows that fill up."""
    for j in range(m):
        chances[j] = weight * (np.float32(1) - chances[j])
    for j in range(m, n):
        chances[j] *= -weight * np.float32(m)
    for j in range(n, (n + 3) // 4 * 4):
        chances[j] = np.float32(0)


@njit(inline="always", fastmath=True)
def _pull_source(du, target, rows, n, pulls, dim):  # type: ignore[no-untyped-def]
    """du = sum of pull * v, four rows at a time."""
    for d in range(dim):
        du[d] = np.float32(0)
    for j in range(0, n, 4):
        r0, r1, r2, r3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
        s0, s1, s2, s3 = pulls[j], pulls[j + 1], pulls[j + 2], pulls[j + 3]
        for d in range(dim):
            du[d] += (s0 * target[r0, d] + s1 * target[r1, d]) + (s2 * target[r2, d] + s3 * target[r3, d])


@njit(inline="always", fastmath=True)
def _mean_square(vector, dim):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for d in range(dim):
        total += vector[d] * vector[d]
    return total * np.float32(1.0 / dim)


@njit(inline="always", fastmath=True)
def _move_targets(out, memories, rows, n, u, pulls, learning_rate, dim):  # type: ignore[no-untyped-def]
    """Row-wise Adagrad: the gradient of row j is pull * u, its mean square pull^2 * mean(u^2)."""
    energy = _mean_square(u, dim)
    for j in range(n):
        row = rows[j]
        memory = memories[row] + pulls[j] * pulls[j] * energy
        memories[row] = memory
        pulls[j] *= learning_rate / np.sqrt(memory)
    for j in range(n):
        row = rows[j]
        step = pulls[j]
        for d in range(dim):
            out[row, d] += step * u[d]


@lru_cache(maxsize=32)
def skip_gram_kernel(dim: int, learn_source: bool = True, learn_target: bool = True) -> Callable[..., float]:
    """Compile the pass for one dimension; `learn_*` False adds gradients of that side to its output buffer instead."""

    @njit(parallel=True, fastmath=True, cache=True, nogil=True)
    def kernel(  # type: ignore[no-untyped-def]
        tables, outs, memories, target_offsets, batch_arrays, learning_rate, weight, n_chunks, target_shift
    ):
        source, target = tables
        source_out, target_out = outs
        source_memory, target_memory = memories
        anchors, context_offsets, contexts, negatives = batch_arrays
        n_anchors = anchors.shape[0]
        losses = np.zeros(n_chunks * _FLOATS_PER_CACHE_LINE, np.float64)
        for chunk in prange(n_chunks):
            begin, end = n_anchors * chunk // n_chunks, n_anchors * (chunk + 1) // n_chunks
            longest = 0
            for i in range(begin, end):
                longest = max(longest, context_offsets[i + 1] - context_offsets[i])
            u, du = np.empty(dim, np.float32), np.empty(dim, np.float32)
            rows = np.empty(longest + negatives.shape[1] + 3, np.int32)
            logits = np.empty(longest + negatives.shape[1] + 3, np.float32)
            products = np.ones(longest + 1, np.float64)
            loss = 0.0
            for i in range(begin, end):
                if i + _AHEAD < end:
                    _ask_for_rows(source, target, batch_arrays, i + _AHEAD, dim)
                anchor, first = anchors[i], context_offsets[i]
                m = context_offsets[i + 1] - first
                n = _collect(rows, contexts, first, m, negatives, i)
                for d in range(dim):
                    u[d] = source[anchor, d]
                _score(u, target, target_offsets, rows, n, logits, dim)
                for j in range(n):
                    logits[j] = _sigmoid(logits[j])
                loss += _loss_of(logits, m, n, products)
                _pull(logits, m, n, weight)
                _pull_source(du, target, rows, n, logits, dim)
                if learn_target:
                    _move_targets(target_out, target_memory, rows, n, u, logits, learning_rate, dim)
                else:
                    for j in range(n):
                        for d in range(dim):
                            target_out[rows[j] + chunk * target_shift, d] -= logits[j] * u[d]
                if learn_source:
                    memory = source_memory[anchor] + _mean_square(du, dim)
                    source_memory[anchor] = memory
                    step = learning_rate / np.sqrt(memory)
                    for d in range(dim):
                        source_out[anchor, d] = u[d] + step * du[d]
                else:
                    for d in range(dim):
                        source_out[anchor, d] -= du[d]
            loss -= np.log(products[0])
            for m in range(1, longest + 1):
                loss -= m * np.log(products[m])
            losses[chunk * _FLOATS_PER_CACHE_LINE] = loss
        return losses.sum()

    return cast(Callable[..., float], kernel)


def learn_skip_gram(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    source_memory: NDArray[np.float32],
    target_memory: NDArray[np.float32],
    target_offsets: NDArray[np.float32],
    batch: SkipGramBatch,
    learning_rate: float,
    weight: float = 1.0,
) -> float:
    """One pass over a batch, updating both tables in place; returns the summed loss before the updates it saw.

    Args:
        source, target: (n_sources, dim), (n_targets, dim) float32.
        source_memory, target_memory: (n_sources,), (n_targets,) float32, the row-wise Adagrad accumulators.
        target_offsets: (n_targets,) float32, added to the logit of each target.
        weight: the task's weight; multiplies the gradient, not the returned loss.
    """
    kernel = skip_gram_kernel(source.shape[1])
    tables = source, target
    return float(
        kernel(
            tables, tables, (source_memory, target_memory), target_offsets, tuple(batch),
            np.float32(learning_rate), np.float32(weight), get_num_threads(), 0,
        )
    )  # fmt: skip


def learn_source_only(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    source_memory: NDArray[np.float32],
    batch: SkipGramBatch,
    learning_rate: float,
    weight: float = 1.0,
) -> tuple[float, NDArray[np.float32]]:
    """As `learn_skip_gram`, but the target table stays, and its gradient is returned: (n_targets, dim) float32."""
    n_threads = get_num_threads()
    gradient = np.zeros((n_threads * len(target), target.shape[1]), np.float32)
    kernel = skip_gram_kernel(source.shape[1], True, False)
    loss = kernel(
        (source, target), (source, gradient), (source_memory, source_memory), np.zeros(len(target), np.float32),
        tuple(batch), np.float32(learning_rate), np.float32(weight), n_threads, len(target),
    )  # fmt: skip
    return float(loss), gradient.reshape(n_threads, *target.shape).sum(axis=0)


def skip_gram_gradients(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    target_offsets: NDArray[np.float32],
    batch: SkipGramBatch,
    weight: float = 1.0,
) -> tuple[float, NDArray[np.float32], NDArray[np.float32]]:
    """Summed loss and dense gradients (source, target) of a batch; nothing is updated."""
    gradients = np.zeros_like(source), np.zeros_like(target)
    kernel = skip_gram_kernel(source.shape[1], False, False)
    unused = np.zeros(0, np.float32)
    loss = kernel(
        (source, target), gradients, (unused, unused), target_offsets,
        tuple(batch), np.float32(1), np.float32(weight), 1, 0,
    )  # fmt: skip
    return float(loss), *gradients


__all__ = ["learn_skip_gram", "learn_source_only", "skip_gram_gradients", "skip_gram_kernel"]
