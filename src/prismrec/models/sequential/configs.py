"""The settings of the models that read histories in their order."""

from __future__ import annotations

from prismrec.config import Section


class MAGNNConfig(Section):
    """MA-GNN."""


class SASRecConfig(Section):
    """SASRec."""


class GRU4RecConfig(Section):
    """GRU4Rec."""


class HGNConfig(Section):
    """HGN."""


__all__ = ["GRU4RecConfig", "HGNConfig", "MAGNNConfig", "SASRecConfig"]
