"""Losses that models share; each is a mean over examples."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def bpr(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """-log sigmoid(positive - negative), mean over all pairs.

    Rendle et al., 2009, https://arxiv.org/abs/1205.2618.

    Args:
        positive: (B, ...) scores.
        negative: (B, ...) scores, of the same shape or broadcast to it.
    """
    return F.softplus(negative - positive).mean()


__all__ = ["bpr"]
