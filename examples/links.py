"""TransE on what is known of the bundled products: how well links are predicted, and which products are alike."""

from prismrec import build_settings, train
from prismrec.data.bundled import bundled_paths
from prismrec.link_contenders import run_links

tables = bundled_paths()
values = {
    "algorithm": "transe",
    "data": {
        "interactions": str(tables.clicks),
        "items": str(tables.items),
        "columns": {"user": "household_id", "item": "product_id", "time": "transaction_timestamp"},
    },
    "knowledge": {"relations": {"product_type": "product_type", "category": "product_category"}},
    "models": {"transe": {"embedding_dim": 32, "n_negatives": 128}},
    "training": {"epochs": 4, "patience": 0, "threads": 1},
    "split": {"protocol": "link"},
}
settings = build_settings(values)

measured = run_links(settings, ["popularity", "transe"])
for name, results in measured.comparison.results.items():
    print(f"{name}: MRR {results.mean('MRR'):.3f}, Hits@10 {results.mean('Hits@10'):.3f}")

bundle = train(settings, "links-bundle", tune_on_validation=False)
entity = next(name for name in bundle.items.ids.to_pylist() if name.startswith("item:"))
print(f"\nlike {entity}, {bundle.contents.item_columns['label'][bundle.items.index_of(entity)]}:")
for answer in bundle.similar(entity, k=10):
    print(answer.item_id, f"{answer.score:.2f}", answer.columns["label"])
