"""RippleNet on the bundled purchases: what is known of products as a graph, and the paths that lead to an answer."""

from prismrec import build_settings, train
from prismrec.data.bundled import bundled_paths
from prismrec.retrieval.request import Request

tables = bundled_paths()
values = {
    "algorithm": "ripplenet",
    "data": {"columns": {"user": "household_id", "item": "product_id", "time": "transaction_timestamp"}},
    "knowledge": {
        "relations": {"type": "product_type", "category": "product_category", "maker": "manufacturer_id"},
        "inverse": True,  # from a type to its products, too: else every path ends at a type
    },
    "models": {"ripplenet": {"n_hops": 2}},
    "training": {"epochs": 4, "patience": 0},  # enough to look at; see ripplenet.toml
}
bundle = train(
    build_settings(values), "ripplenet-bundle", interactions=tables.clicks, items=tables.items, tune_on_validation=False
)

request = Request((1029743, 995242), k=5, explain=True)
for item in bundle.retriever.recommend([request])[0]:
    print(item.item_id, f"{item.score:.2f}", item.columns["name"])
    for path in item.explanation.paths:
        print("   ", f"{path.weight:.2f}", path)
