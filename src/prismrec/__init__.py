"""PrismRec: click logs and item side information in, aligned multi-view embeddings and recommendations out.

    import prismrec

    settings = prismrec.read_settings("prismrec.toml")
    bundle = prismrec.train(settings, "bundle")
    bundle.recommend(history=["B00A1", "B00B2"], k=20)

Everything public is reached from here; each name is imported when it is first used, so that `import prismrec` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from prismrec.contenders import run as compare_models
    from prismrec.data.preparation import prepare
    from prismrec.data.prepared import PreparedData, load_prepared, save_prepared
    from prismrec.data.profile import profile
    from prismrec.data.reading import read_interactions, read_items
    from prismrec.errors import (
        ArtifactError,
        ConfigError,
        CrewError,
        DataError,
        MissingExtraError,
        NotFittedError,
        PrismRecError,
        ResourceError,
        TrainingError,
        UnknownIdError,
    )
    from prismrec.inputs import read_tables
    from prismrec.pipeline import train
    from prismrec.retrieval.bundle import Bundle
    from prismrec.retrieval.export import export
    from prismrec.settings import Settings, build_settings, read_settings

_HOMES = {
    "ArtifactError": "prismrec.errors",
    "Bundle": "prismrec.retrieval.bundle",
    "ConfigError": "prismrec.errors",
    "CrewError": "prismrec.errors",
    "DataError": "prismrec.errors",
    "MissingExtraError": "prismrec.errors",
    "NotFittedError": "prismrec.errors",
    "PreparedData": "prismrec.data.prepared",
    "PrismRecError": "prismrec.errors",
    "ResourceError": "prismrec.errors",
    "Settings": "prismrec.settings",
    "TrainingError": "prismrec.errors",
    "UnknownIdError": "prismrec.errors",
    "build_settings": "prismrec.settings",
    "compare_models": "prismrec.contenders:run",
    "export": "prismrec.retrieval.export",
    "load_prepared": "prismrec.data.prepared",
    "prepare": "prismrec.data.preparation",
    "profile": "prismrec.data.profile",
    "read_interactions": "prismrec.data.reading",
    "read_items": "prismrec.data.reading",
    "read_settings": "prismrec.settings",
    "read_tables": "prismrec.inputs",
    "save_prepared": "prismrec.data.prepared",
    "train": "prismrec.pipeline",
}
"""Public name -> the module it lives in; after a colon its name there, where that is another."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'prismrec' has no attribute {name!r}")
    module, _, inner = _HOMES[name].partition(":")
    value = getattr(import_module(module), inner or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "ArtifactError",
    "Bundle",
    "ConfigError",
    "CrewError",
    "DataError",
    "MissingExtraError",
    "NotFittedError",
    "PreparedData",
    "PrismRecError",
    "ResourceError",
    "Settings",
    "TrainingError",
    "UnknownIdError",
    "__version__",
    "build_settings",
    "compare_models",
    "export",
    "load_prepared",
    "prepare",
    "profile",
    "read_interactions",
    "read_items",
    "read_settings",
    "read_tables",
    "save_prepared",
    "train",
]
