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


@lru_cache(maxsize=32)
def skip_gram_kernel(dim: int, learn_source: bool = True, learn_target: bool = True) -> Callable[..., float]:
    """Compile the pass for one dimension; `learn_*` False adds gradients of that side to its output buffer instead."""

    @njit(parallel=True, fastmath=True, cache=True, nogil=True)
    def kernel(  # type: ignore[no-untyped-def]
        source, target, source_out, target_out, source_memory, target_memory, offsets_of_targets,
        anchors, context_offsets, contexts, negatives, learning_rate, weight, n_chunks, target_shift,
    ):  # fmt: skip
        n_anchors = anchors.shape[0]
        n_negatives = negatives.shape[1]
        losses = np.zeros(n_chunks * 8, np.float64)
        for chunk in prange(n_chunks):
            begin = n_anchors * chunk // n_chunks
            end = n_anchors * (chunk + 1) // n_chunks
            shift = chunk * target_shift
            longest = 0
            for i in range(begin, end):
                longest = max(longest, context_offsets[i + 1] - context_offsets[i])
            u = np.empty(dim, np.float32)
            du = np.empty(dim, np.float32)
            rows = np.empty(longest + n_negatives + 3, np.int32)
            logits = np.empty(longest + n_negatives + 3, np.float32)
            likelihoods = np.ones(longest + 1, np.float64)  # of contexts, and of negatives that count m times
            loss = 0.0
            for i in range(begin, end):
                first = context_offsets[i]
                m = context_offsets[i + 1] - first
                for j in range(m):
                    rows[j] = contexts[first + j]
                n = m
                for k in range(n_negatives):
                    candidate = negatives[i, k]
                    hit = False
                    for j in range(m):
                        hit |= rows[j] == candidate
                    rows[n] = candidate
                    n += 0 if hit else 1
                if i + _AHEAD < end:
                    _prefetch_row(source, anchors[i + _AHEAD], dim)
                    for j in range(context_offsets[i + _AHEAD], context_offsets[i + _AHEAD + 1]):
                        _prefetch_row(target, contexts[j], dim)
                    for k in range(n_negatives):
                        _prefetch_row(target, negatives[i + _AHEAD, k], dim)
                anchor = anchors[i]
                for d in range(dim):
                    u[d] = source[anchor, d]
                    du[d] = np.float32(0)
                padded = (n + 3) // 4 * 4
                for j in range(n, padded):
                    rows[j] = rows[0]
                for j in range(0, padded, 4):
                    r0, r1, r2, r3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
                    s0, s1, s2, s3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                    for d in range(dim):
                        s0 += u[d] * target[r0, d]
                        s1 += u[d] * target[r1, d]
                        s2 += u[d] * target[r2, d]
                        s3 += u[d] * target[r3, d]
                    logits[j] = s0 + offsets_of_targets[r0]
                    logits[j + 1] = s1 + offsets_of_targets[r1]
                    logits[j + 2] = s2 + offsets_of_targets[r2]
                    logits[j + 3] = s3 + offsets_of_targets[r3]
                for j in range(n):
                    logits[j] = _sigmoid(logits[j])
                for j in range(m):
                    likelihoods[0] *= max(np.float64(logits[j]), _SMALLEST)
                    if likelihoods[0] < _NEARLY_ZERO:
                        loss -= np.log(likelihoods[0])
                        likelihoods[0] = 1.0
                for j in range(m, n):
                    likelihoods[m] *= max(1.0 - np.float64(logits[j]), _SMALLEST)
                    if likelihoods[m] < _NEARLY_ZERO:
                        loss -= m * np.log(likelihoods[m])
                        likelihoods[m] = 1.0

                energy = np.float32(0)
                if learn_target:
                    for d in range(dim):
                        energy += u[d] * u[d]
                    energy *= np.float32(1.0 / dim)
                for j in range(m):
                    logits[j] = weight * (np.float32(1) - logits[j])
                for j in range(m, n):
                    logits[j] *= -weight * np.float32(m)
                for j in range(n, padded):
                    logits[j] = np.float32(0)
                for j in range(0, padded, 4):
                    r0, r1, r2, r3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
                    s0, s1, s2, s3 = logits[j], logits[j + 1], logits[j + 2], logits[j + 3]
                    for d in range(dim):
                        du[d] += (s0 * target[r0, d] + s1 * target[r1, d]) + (s2 * target[r2, d] + s3 * target[r3, d])
                if learn_target:
                    for j in range(n):
                        row = rows[j]
                        memory = target_memory[row] + logits[j] * logits[j] * energy
                        target_memory[row] = memory
                        logits[j] *= learning_rate / np.sqrt(memory)
                    for j in range(n):
                        row = rows[j]
                        step = logits[j]
                        for d in range(dim):
                            target_out[row, d] += step * u[d]
                else:
                    for j in range(n):
                        row = rows[j] + shift
                        step = logits[j]
                        for d in range(dim):
                            target_out[row, d] -= step * u[d]
                if learn_source:
                    energy = np.float32(0)
                    for d in range(dim):
                        energy += du[d] * du[d]
                    memory = source_memory[anchor] + energy * np.float32(1.0 / dim)
                    source_memory[anchor] = memory
                    step = learning_rate / np.sqrt(memory)
                    for d in range(dim):
                        source_out[anchor, d] = u[d] + step * du[d]
                else:
                    for d in range(dim):
                        source_out[anchor, d] -= du[d]
            loss -= np.log(likelihoods[0])
            for m in range(1, longest + 1):
                loss -= m * np.log(likelihoods[m])
            losses[chunk * 8] = loss
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
    return float(
        kernel(
            source, target, source, target, source_memory, target_memory, target_offsets,
            *batch, np.float32(learning_rate), np.float32(weight), get_num_threads(), 0,
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
        source, target, source, gradient, source_memory, source_memory, np.zeros(len(target), np.float32),
        *batch, np.float32(learning_rate), np.float32(weight), n_threads, len(target),
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
        source, target, *gradients, unused, unused, target_offsets,
        *batch, np.float32(1), np.float32(weight), 1, 0,
    )  # fmt: skip
    return float(loss), *gradients


__all__ = ["learn_skip_gram", "learn_source_only", "skip_gram_gradients", "skip_gram_kernel"]
