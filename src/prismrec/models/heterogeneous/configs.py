"""The settings of the models that learn from a graph of users, items and their attributes."""

from __future__ import annotations

from prismrec.config import Section


class HIN2VecConfig(Section):
    """HIN2Vec."""


class HGTConfig(Section):
    """HGT."""


class MTHGTConfig(Section):
    """MTHGT."""


__all__ = ["HGTConfig", "HIN2VecConfig", "MTHGTConfig"]
