"""DKN on invented news: readers of two kinds, whose articles are known by their titles and the people in them.

The last article comes after training: nobody has read it, and its title is enough to know whose it is.
"""

import numpy as np
import pyarrow as pa

from prismrec import build_settings, train
from prismrec.retrieval.request import NewItem, Request

PEOPLE = {"football": ("Ana Silva", "Leo Costa"), "cinema": ("Iris Moreau", "Paul Roy")}
WORDS = {
    "football": ("goal", "coach", "season", "stadium", "penalty"),
    "cinema": ("premiere", "director", "festival", "role", "award"),
}
rng = np.random.default_rng(0)
articles, clicks = [], []
for number in range(60):
    topic = ("football", "cinema")[number % 2]
    person = PEOPLE[topic][number // 2 % 2]
    title = " ".join([person, *rng.choice(WORDS[topic], 2, replace=False)])
    articles.append({"article": f"a{number}", "title": title, "annotations": f"{person.replace(' ', '_')}:{person}"})
for reader in range(40):
    for place, number in enumerate(rng.choice(60, 20, replace=False).tolist()):
        read = number % 2 == reader % 2  # of what readers are shown they open their own topic
        clicks.append({"reader": reader, "article": f"a{number}", "place": place, "read": int(read)})

values = {
    "algorithm": "dkn",
    "data": {
        "columns": {"user": "reader", "item": "article", "time": "place", "rating": "read"},
        "timestamp_unit": "order",
    },
    "sessions": {"min_rating": 1.0, "keep_unclicked_items": True},  # shown and not read: what DKN learns from, too
    "models": {"dkn": {"filters": 16, "hidden_dim": 16, "learning_rate": 0.01}},
    "training": {"epochs": 5, "patience": 0},
}
tables = {"interactions": pa.Table.from_pylist(clicks), "items": pa.Table.from_pylist(articles)}
bundle = train(build_settings(values), "dkn-bundle", **tables, tune_on_validation=False)

retriever = bundle.retriever.upserted([NewItem(item_id="breaking", columns={"title": "Leo Costa and the stadium"})])
football = [article["article"] for article in articles[0:6:2]]
print("to a reader of football:")
for item in retriever.recommend([Request(tuple(football), k=10)])[0]:
    print(item.item_id, f"{item.score:.2f}", item.columns["title"])
