"""MA-GNN on the bundled purchases, and what its memory holds: which households read the same latent interests."""

import pyarrow.parquet as pq

from prismrec import build_settings, train
from prismrec.data.bundled import bundled_paths
from prismrec.retrieval.memory_attention import plot_memory_attention, user_memory_attention, write_memory_attention

tables = bundled_paths()
values = {
    "algorithm": "ma_gnn",
    "data": {"columns": {"user": "household_id", "item": "product_id", "time": "transaction_timestamp"}},
    "models": {"ma_gnn": {"windows": {"near": 5, "far": 20}}},
    "training": {"epochs": 6, "patience": 0},
}
settings = build_settings(values)
bundle = train(settings, "ma-gnn-bundle", interactions=tables.clicks, items=tables.items, tune_on_validation=False)

clicks = pq.read_table(tables.clicks).sort_by("transaction_timestamp").to_pydict()
histories = {}
for household, product in zip(clicks["household_id"], clicks["product_id"], strict=True):
    histories.setdefault(household, []).append(product)

asked = sorted(histories, key=lambda household: -len(histories[household]))[:20]
print(f"for household {asked[0]}:")
for item in bundle.recommend(history=histories[asked[0]], user=asked[0], k=10, exclude_seen=False):
    print(item.item_id, f"{item.score:.2f}", item.columns["name"])

attention = user_memory_attention(bundle, {household: histories[household] for household in asked})
write_memory_attention(attention, "memory.csv")
plot_memory_attention(attention, "memory.png")
print(f"\nmemory.csv and memory.png: how much {len(asked)} households read of each slot of the memory")
