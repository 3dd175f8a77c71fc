"""PrismRec: click logs and item side information in, aligned multi-view embeddings and recommendations out."""

__version__ = "0.1.0"
