"""Every model by its name: trained for one epoch on the bundled purchases, and asked the same question."""

from prismrec import build_settings, train
from prismrec.data.bundled import bundled_paths
from prismrec.models.algorithms import NEURAL

tables = bundled_paths()
values = {
    "data": {"columns": {"user": "household_id", "item": "product_id", "time": "transaction_timestamp"}},
    "views": {"category": "product_type", "shop": "manufacturer_id"},
    "knowledge": {"relations": {"type": "product_type", "maker": "manufacturer_id"}, "inverse": True},
    # it reads titles, here what products are called, with few filters and short histories: it is the slowest
    "models": {"dkn": {"text": {"title": "name"}, "filters": 16, "hidden_dim": 16, "max_history": 5}},
    "training": {"epochs": 1, "patience": 0},  # enough to see that it runs; `prismrec evaluate` says what each is worth
}
for name in NEURAL:
    settings = build_settings({**values, "algorithm": name})
    bundle = train(settings, f"{name}-bundle", interactions=tables.clicks, items=tables.items, tune_on_validation=False)
    known = {"user": 1} if bundle.knows_users else {}  # some have a vector per user, others read histories alone
    answers = bundle.recommend(history=[1029743, 995242], k=3, **known)
    print(f"{name}:", ", ".join(str(item.columns["name"]) for item in answers))
