"""MTHGT on the bundled purchases: households, products and the attributes of products in one graph, two tasks."""

from prismrec import build_settings, train
from prismrec.data.bundled import bundled_paths

tables = bundled_paths()
values = {
    "algorithm": "mthgt",
    "data": {"columns": {"user": "household_id", "item": "product_id", "time": "transaction_timestamp"}},
    "views": {"category": "product_type", "shop": "manufacturer_id"},
    "models": {"mthgt": {"subgraph": {"nodes_per_type": 1024}}},
    "training": {"epochs": 4, "patience": 0},  # enough to look at; see mthgt.toml
}
settings = build_settings(values)
bundle = train(settings, "mthgt-bundle", interactions=tables.clicks, items=tables.items, tune_on_validation=False)

household = 1  # of the log: known users are answered by their own vectors, others by those of their history
print(f"for household {household}:")
for item in bundle.recommend(history=[1029743, 995242], user=household, k=10):
    print(item.item_id, f"{item.score:.2f}", item.columns["name"])
print("\nlike product 1029743:")
for item in bundle.similar(1029743, k=10):
    print(item.item_id, f"{item.score:.2f}", item.columns["name"])
