"""From a Parquet file of clicks to recommendations; runs as it is on the bundled shopping data, in a few minutes."""

from prismrec import build_settings, train
from prismrec.data.bundled import bundled_paths

tables = bundled_paths()  # here go your own: paths, or pandas, Polars and Arrow tables
columns = {"user": "household_id", "item": "product_id", "time": "transaction_timestamp"}
views = {"category": "product_type", "shop": "manufacturer_id"}
settings = build_settings({"data": {"columns": columns}, "views": views, "model": {"sequences": "histories"}})
bundle = train(settings, "quickstart-bundle", interactions=tables.clicks, items=tables.items)

for item in bundle.recommend(history=[1029743, 995242], k=20):
    print(item.item_id, f"{item.score:.2f}", item.columns["name"])

print("\nlike bananas, but of other makers:")
for item in bundle.similar(1082185, k=20, weights={"item": 1.0, "category": 0.3, "shop": -0.2}):
    print(item.item_id, f"{item.score:.2f}", item.columns["name"])
