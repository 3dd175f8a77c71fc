"""The settings file: what its keys mean, where its paths lead, and that every knob is explained."""

import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from prismrec.config import Section
from prismrec.errors import ConfigError
from prismrec.models.algorithms import ModelsConfig
from prismrec.settings import Settings, build_settings, demo_settings, demo_settings_text, read_settings

SHOP = """
[data]
interactions = "tables/clicks.parquet"
items = "/elsewhere/items.parquet"

[data.columns]
user = "visitor"

[views]
category = "product_type"
code = { column = "stock_code", prefix = 3 }
genre = { column = "genres", separator = "|" }

[training]
epochs = 7
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop" / "shop.toml"
    path.parent.mkdir()
    path.write_text(SHOP, encoding="utf-8")
    return path


def sections(cls=Settings, path=""):
    """Every settings class that the file leads to, with its place."""
    yield path, cls
    for name, field in cls.model_fields.items():
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from sections(kind, f"{path}.{name}".strip("."))


def test_values_come_from_the_file_and_defaults_from_the_code(file):
    settings = read_settings(file)
    assert settings.training.epochs == 7
    assert settings.training.learning_rate == Settings().training.learning_rate
    assert settings.data.columns.user == "visitor"
    assert settings.data.columns.item == "item_id"


def test_relative_paths_start_where_the_file_lies(file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    data = read_settings("shop/shop.toml").data
    assert data.interactions == str(file.parent / "tables/clicks.parquet")
    assert data.items == "/elsewhere/items.parquet"


@pytest.mark.parametrize("place", ["duckdb:///shop.db::clicks", ""])
def test_databases_and_empty_places_stay_as_they_are(file, place):
    file.write_text(f'[data]\ninteractions = "{place}"\n', encoding="utf-8")
    assert read_settings(file).data.interactions == place


def test_the_data_set_is_named_after_its_folder_unless_the_file_says_otherwise(file):
    assert read_settings(file).data.name == "shop"
    assert read_settings(file, ["data.name=Winter sale"]).data.name == "Winter sale"


def test_a_view_may_be_a_column_name_or_more(file):
    views = read_settings(file).views
    assert [(v.column, v.prefix, v.separator) for v in views.values()] == [
        ("product_type", 0, ""), ("stock_code", 3, ""), ("genres", 0, "|"),
    ]  # fmt: skip
    assert list(views) == ["category", "code", "genre"]


def test_overrides_win_over_the_file(file):
    settings = read_settings(file, ["training.epochs=9", "views.shop=manufacturer", "query.view_weights.shop=-0.5"])
    assert settings.training.epochs == 9
    assert settings.views["shop"].column == "manufacturer"
    assert settings.query.view_weights["shop"] == -0.5


def test_paths_of_a_section_in_sections_start_where_the_file_lies_too(tmp_path):
    path = tmp_path / "news.toml"
    path.write_text('[models.dkn.vectors]\nentities = "vectors/item.parquet"\n')
    assert read_settings(path).models.dkn.vectors.entities == str(tmp_path / "vectors" / "item.parquet")
    path.write_text("models = 3\n")
    with pytest.raises(ConfigError, match="models"):
        read_settings(path)


def test_paths_of_overrides_start_where_the_command_is_typed(file):
    assert read_settings(file, ["data.interactions=clicks.csv"]).data.interactions == "clicks.csv"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", r"shop.toml: unknown key 'training.epoch'; did you mean 'epochs'\?"),
        ("trainin.epochs=3", r"shop.toml: unknown key 'trainin'; did you mean 'training'\?"),
        ("data.columns.usr=a", r"unknown key 'data.columns.usr'; did you mean 'user'\?"),
        ("training.epochs=0", "'training.epochs': .*greater than or equal to 1 .got 0."),
        ("views.a/b=column", "the view name 'a/b' cannot name a file: use letters, digits"),
        ("views=3", "'views': .*valid dictionary"),
        ("views.shop.colum=x", "'views.shop.column' is required"),
        ("model.hard_negatives=0.5", "hard_negatives needs hard_view"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(file, override, message):
    with pytest.raises(ConfigError, match=message):
        read_settings(file, [override])


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the settings file .*none.toml: No such file"):
        read_settings(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[data\n")
    with pytest.raises(ConfigError, match=r"bad.toml is not valid TOML"):
        read_settings(tmp_path / "bad.toml")
    (tmp_path / "flat.toml").write_text("data = 3\n")
    with pytest.raises(ConfigError, match=r"flat.toml: 'data': .*got 3"):
        read_settings(tmp_path / "flat.toml")


def test_an_empty_file_gives_the_defaults(tmp_path):
    (tmp_path / "empty.toml").write_text("")
    assert read_settings(tmp_path / "empty.toml") == Settings()


def test_nested_values_build_the_same_settings():
    built = build_settings({"views": {"shop": "maker"}, "training": {"epochs": 3}}, ["training.epochs=4"])
    assert built.views["shop"].column == "maker"
    assert built.training.epochs == 4
    with pytest.raises(ConfigError, match="settings: unknown key 'view'; did you mean 'views'"):
        build_settings({"view": {}})


def test_settings_survive_json():
    settings = demo_settings(["views.code={column='stock_code', prefix=3}"])
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_the_demo_settings_name_the_bundled_tables():
    settings = demo_settings(["training.epochs=1"])
    assert settings.training.epochs == 1
    clicks, items = pq.read_schema(settings.data.interactions), pq.read_schema(settings.data.items)
    columns = settings.data.columns
    assert {columns.user, columns.item, columns.time, columns.session} <= set(clicks.names)
    assert {columns.item, *(view.column for view in settings.views.values())} <= set(items.names)
    assert set(settings.query.view_weights) <= {"item", *settings.views}


def test_the_demo_text_written_to_a_file_means_the_same(tmp_path):
    (tmp_path / "demo.toml").write_text(demo_settings_text(), encoding="utf-8")
    assert read_settings(tmp_path / "demo.toml") == demo_settings()


@pytest.mark.parametrize(("path", "cls"), list(sections()), ids=lambda value: value if isinstance(value, str) else "")
def test_sections_refuse_unknown_keys_and_stay_small(path, cls):
    assert issubclass(cls, Section)
    assert cls.model_config["frozen"]
    assert cls.model_config["extra"] == "forbid"
    tables = Settings, ModelsConfig  # a field per section
    assert cls in tables or len(cls.model_fields) <= 12, f"{path} has too many fields"


def test_every_default_is_usable_as_it_is():
    assert build_settings(Settings().model_dump()) == Settings()


def test_user_views_are_written_as_item_views_are(tmp_path):
    text = '[data]\nusers = "people.csv"\n[user_views]\nage = "age_from"\narea = {column = "zip", prefix = 3}\n'
    (tmp_path / "shop.toml").write_text(text)
    settings = read_settings(tmp_path / "shop.toml", ["data.user_links=friends.csv"])
    assert [(name, v.column, v.prefix) for name, v in settings.user_views.items()] == [
        ("age", "age_from", 0), ("area", "zip", 3),
    ]  # fmt: skip
    assert settings.data.users == str(tmp_path / "people.csv")
    assert settings.data.user_links == "friends.csv", "a path typed with --set is meant from where it is typed"
    with pytest.raises(ConfigError, match="the view name 'a/b' cannot name a file"):
        build_settings({"user_views": {"a/b": "age"}})


def test_the_engine_is_chosen_by_one_key_and_is_no_part_of_a_bundle(tmp_path):
    (tmp_path / "shop.toml").write_text('engine = "spark"\n[spark]\nmaster = "local[2]"\nwork_folder = "work"\n')
    settings = read_settings(tmp_path / "shop.toml", ["duckdb.threads=1"])
    assert (settings.engine, settings.spark.master, settings.duckdb.threads) == ("spark", "local[2]", 1)
    assert settings.spark.work_folder == str(tmp_path / "work")
    assert read_settings(tmp_path / "shop.toml", ["engine=duckdb"]).engine == "duckdb"
    assert settings.model_dump() == Settings().model_dump()


def test_an_engine_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match=r"engine"):
        build_settings({"engine": "pandas"})


def test_settings_that_are_not_of_spark_are_refused():
    with pytest.raises(
        ConfigError, match=r"'executor.memory' is no setting of Spark: its settings begin with 'spark.'"
    ):
        build_settings({"spark": {"settings": {"executor.memory": "2g"}}})


@pytest.mark.parametrize("memory", ["4", "4gb", "0g", "-1g", ""])
def test_memory_of_spark_is_a_number_with_a_unit(memory):
    with pytest.raises(ConfigError, match=r"spark.memory"):
        build_settings({"spark": {"memory": memory}})


def test_data_are_named_after_the_folder_of_the_file_even_where_it_names_triples_alone(tmp_path):
    path = tmp_path / "words" / "prismrec.toml"
    path.parent.mkdir()
    path.write_text('[knowledge]\ntriples = "triples.tsv"\n', encoding="utf-8")
    assert read_settings(path).data.name == "words"
    assert read_settings(path, ["data.name=others"]).data.name == "others"
