"""The one TOML file: all sections joined, paths relative to the file that names them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from prismrec.config import Section, apply_overrides, build, read_toml
from prismrec.data.bundled import bundled_paths
from prismrec.data.engines.settings import DuckDBSettings, EngineName, SparkSettings
from prismrec.data.knowledge.settings import KnowledgeSettings
from prismrec.data.rating_bounds import RatingSettings
from prismrec.data.schema import InteractionColumns, TimestampUnit
from prismrec.data.sessions import SessionSettings
from prismrec.data.splits import SplitSettings
from prismrec.data.views import ViewSettings
from prismrec.evaluation.links import LinkSettings
from prismrec.evaluation.protocols import EvaluationSettings
from prismrec.evaluation.rivals import RivalSettings
from prismrec.graphs.edge_list import EdgeListSettings
from prismrec.graphs.walks import WalkSettings
from prismrec.models.algorithms import Algorithm, ModelsConfig
from prismrec.models.baselines import BaselinesConfig
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.sharding import ShardingSettings
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.cold_start import ColdStartSettings
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.serving.settings import ServeSettings
from prismrec.training.loop import TrainingSettings
from prismrec.training.tracking import TrackingSettings

_DEMO_FILE = Path(__file__).parent / "data" / "bundled" / "complete_journey.toml"

PATHS = {
    "data": ("interactions", "items", "users", "user_links"),
    "knowledge": ("triples", "valid_triples", "test_triples", "item_links", "labels", "aliases"),
    "spark": ("work_folder",),
    "serving": ("home", "token_file"),
    "tracking": ("folder",),
    "models.dkn.vectors": ("entities",),
}
"""Which settings of which section are paths."""

NEURAL_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "training": {**RivalSettings().model_dump(), "implementation": "torch"},
    "query": {"popularity_weight": 0.0},
}
"""What a file that says nothing means where `algorithm` is a model in torch: it stops early, and knows popularity."""


class DataSettings(Section):
    """Where the tables lie and what their columns mean."""

    name: str = Field(default="", description="name of the data set in tables; the file's folder where empty")
    interactions: str = Field(default="", description="click log: file, folder, glob, or duckdb:///file.db::table")
    items: str = Field(default="", description="item table, likewise; empty = none")
    item_column: str = Field(default="", description="id column of the item table; that of the log where empty")
    users: str = Field(default="", description="user table, likewise: ages, places; empty = none")
    user_column: str = Field(default="", description="id column of the user table; that of the log where empty")
    user_links: str = Field(default="", description="two columns of user ids, likewise: friends; empty = none")
    columns: InteractionColumns = Field(default=InteractionColumns(), description="columns of the log")
    timestamp_unit: TimestampUnit = Field(
        default="auto", description="auto finds the unit and says so; order = an increasing number without distance"
    )
    max_bad_share: float = Field(
        default=0.05, ge=0, le=1, description="share of bad rows up to which they are set aside and the run goes on"
    )


class Settings(Section):
    """Everything a run is made of."""

    engine: EngineName = Field(
        default="duckdb", exclude=True, description="what prepares the data; no part of a bundle, as results are equal"
    )
    duckdb: DuckDBSettings = Field(default=DuckDBSettings(), exclude=True, description="what DuckDB may use")
    spark: SparkSettings = Field(default=SparkSettings(), exclude=True, description="where Spark runs; extra spark")
    algorithm: Algorithm = Field(default="m2grl", description="which model `train` trains; all but m2grl need torch")
    data: DataSettings = DataSettings()
    views: dict[str, ViewSettings] = Field(default_factory=dict, description="view name -> item column, or more")
    user_views: dict[str, ViewSettings] = Field(
        default_factory=dict, description="view name -> user column, or more: nodes for models of the whole graph"
    )
    knowledge: KnowledgeSettings = Field(
        default=KnowledgeSettings(), description="the knowledge graph: triples in files, columns of the item table"
    )
    sessions: SessionSettings = SessionSettings()
    ratings: RatingSettings = RatingSettings()
    edges: EdgeListSettings = EdgeListSettings()
    walks: WalkSettings = WalkSettings()
    model: M2GRLConfig = M2GRLConfig()
    models: ModelsConfig = Field(default=ModelsConfig(), description="the other models, `[models.ma_gnn]` and so on")
    training: TrainingSettings = TrainingSettings()
    sharding: ShardingSettings = ShardingSettings()
    query: QuerySettings = QuerySettings()
    index: IndexSettings = IndexSettings()
    cold_start: ColdStartSettings = ColdStartSettings()
    split: SplitSettings = SplitSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    links: LinkSettings = Field(default=LinkSettings(), description="how links of the knowledge graph are asked for")
    baselines: BaselinesConfig = BaselinesConfig()
    rivals: RivalSettings = RivalSettings()
    tracking: TrackingSettings = Field(
        default=TrackingSettings(), exclude=True, description="which tool keeps the curves of training; extra tracking"
    )
    serving: ServeSettings = Field(
        default=ServeSettings(), exclude=True, description="the service; no part of what a bundle is made of"
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_algorithm(cls, values: Any) -> Any:
        """What is not said has the default of the algorithm."""
        if not isinstance(values, Mapping) or values.get("algorithm", "m2grl") == "m2grl":
            return values
        said = {name: values.get(name, {}) for name in NEURAL_DEFAULTS}
        return {**values, **{n: {**NEURAL_DEFAULTS[n], **s} for n, s in said.items() if isinstance(s, Mapping)}}

    @field_validator("views", "user_views")
    @classmethod
    def _view_names(cls, views: dict[str, ViewSettings]) -> dict[str, ViewSettings]:
        """A view's name becomes a file name in the bundle: known before training, not after."""
        for name in views:
            if not re.fullmatch(r"[\w-]+", name):
                raise ValueError(f"the view name {name!r} cannot name a file: use letters, digits, '_' and '-'")
        return views

    @field_validator("views", "user_views", mode="before")
    @classmethod
    def _short_views(cls, views: Any) -> Any:
        """`category = "product_type"` is short for a view with that column and nothing else."""
        if not isinstance(views, Mapping):
            return views
        return {name: {"column": view} if isinstance(view, str) else view for name, view in views.items()}


def read_settings(path: str | Path, overrides: Iterable[str] = ()) -> Settings:
    """Read a settings file; `overrides` are `section.key=value` as for --set.

    Raises:
        ConfigError: the file cannot be read, or a key or value in it is wrong; one line per problem.
    """
    return build(Settings, apply_overrides(read_values(path), overrides), str(path))


def read_values(path: str | Path) -> dict[str, Any]:
    """What a settings file says, not yet checked, its paths in full.

    Raises:
        ConfigError: the file cannot be read, or is not TOML.
    """
    return _with_paths_from(read_toml(path), Path(path).resolve().parent)


def build_settings(values: Mapping[str, Any], overrides: Iterable[str] = ()) -> Settings:
    """Settings from nested values with the keys of the file; paths are relative to where the program runs.

    Raises:
        ConfigError: a key or value is wrong; one line per problem, with the nearest valid key.
    """
    return build(Settings, apply_overrides(values, overrides))


def demo_settings(overrides: Iterable[str] = ()) -> Settings:
    """The settings of the bundled data: what `prismrec demo` runs."""
    return build(Settings, apply_overrides(tomllib.loads(demo_settings_text()), overrides), _DEMO_FILE.name)


def demo_settings_text() -> str:
    """The demo's settings as the text of a file that works from anywhere: it names the bundled tables in full."""
    data = bundled_paths()
    places = f"interactions = {json.dumps(str(data.clicks))}\nitems = {json.dumps(str(data.items))}\n"
    return _DEMO_FILE.read_text(encoding="utf-8").replace("[data]\n", f"[data]\n{places}", 1)


def _with_paths_from(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Relative paths are meant from where the settings file lies, not from where the command was typed."""
    for path, keys in PATHS.items():
        section = section_at(values, path)
        section.update(_located(section, keys, folder))
    if "knowledge" in values:
        values.setdefault("data", {})  # a file that names triples alone has none
    if isinstance(values.get("data"), dict):
        values["data"].setdefault("name", folder.name)
    return values


def section_at(values: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The section at a dotted path; an empty one where there is none."""
    found: Any = values
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, dict) else {}


def _located(section: Mapping[str, Any], keys: Iterable[str], folder: Path) -> dict[str, str]:
    places = {key: section.get(key) for key in keys}
    return {k: str(folder / place) for k, place in places.items() if isinstance(place, str) and is_path(place)}


def is_path(place: str) -> bool:
    """Whether a place is a path, and not a URL of something."""
    return bool(place) and "://" not in place


__all__ = [
    "NEURAL_DEFAULTS",
    "PATHS",
    "DataSettings",
    "Settings",
    "build_settings",
    "demo_settings",
    "demo_settings_text",
    "is_path",
    "read_settings",
    "read_values",
    "section_at",
]
