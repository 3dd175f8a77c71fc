"""One settings file, two engines: the same bundle, to the last bit of its vectors."""

import json

import numpy as np

from prismrec.pipeline import train
from prismrec.settings import read_settings

SETTINGS = """
[data]
interactions = "clicks.csv"
items = "items.csv"

[views]
category = "kind"

[model]
embedding_dim = 8

[training]
epochs = 2
threads = 1
"""


def write_tables(folder):
    rng = np.random.default_rng(3)
    clicks = [f"{n % 12},item {rng.integers(20)},{1_600_000_000 + 90 * n}" for n in range(400)]
    lines = ["user_id,item_id,timestamp", *clicks, "1,broken", "2,item 3,never"]
    (folder / "clicks.csv").write_text("\n".join(lines), encoding="utf-8")
    kinds = [f"item {n},{'' if n == 7 else f'kind {n % 4}'}" for n in range(22)]
    (folder / "items.csv").write_text("\n".join(["item_id,kind", *kinds]), encoding="utf-8")
    (folder / "shop.toml").write_text(SETTINGS, encoding="utf-8")


def test_both_engines_lead_to_the_same_bundle(spark, spark_settings, tmp_path):
    write_tables(tmp_path)
    bundles = {}
    for name in ("duckdb", "spark"):
        chosen = read_settings(tmp_path / "shop.toml", [f"engine={name}"]).model_copy(update={"spark": spark_settings})
        bundles[name] = train(chosen, tmp_path / name, tune_on_validation=False)
    first, second = (bundles[name].contents for name in bundles)
    assert first.data_fingerprint == second.data_fingerprint
    assert first.config == second.config
    for view, table in first.vectors.items():
        np.testing.assert_array_equal(table.source, second.vectors[view].source)
        np.testing.assert_array_equal(table.target, second.vectors[view].target)
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in bundles]
    assert manifests[0].keys() == manifests[1].keys()
    assert [row.item_id for row in bundles["duckdb"].recommend(history=["item 1"], k=5)] == [
        row.item_id for row in bundles["spark"].recommend(history=["item 1"], k=5)
    ]
    assert (tmp_path / "spark.quarantine" / "interactions.parquet").is_file()
