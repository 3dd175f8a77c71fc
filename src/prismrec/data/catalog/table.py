"""The one table of public data sets: what each is, under which terms, where it lies, and what reads it."""

from __future__ import annotations

from dataclasses import replace

from prismrec.data.catalog import amazon, complete_journey, lastfm, movielens, online_retail
from prismrec.data.catalog.dataset import DataSet, Download
from prismrec.data.schema import InteractionColumns

_HGN = (
    "https://raw.githubusercontent.com/allenjack/HGN/fa155185da89981e066ab81760d803707df53b6b/data/dataset/Amazon/CDs/"
)

_MOVIELENS = DataSet(
    name="movielens-1m",
    content="movie ratings, 2000 to 2003: 6,040 users, 3,706 rated movies, 1,000,209 ratings",
    licence="research only, no redistribution, no commercial use (GroupLens)",
    may_ship=False,
    page="https://grouplens.org/datasets/movielens/1m/",
    files=movielens.FILES,
    read=movielens.read,
    columns=InteractionColumns(user="user_id", item="movie_id", time="timestamp", rating="rating"),
    views={"genre": "genres", "director": "directors", "year": "year"},
    user_views={"age": "age_from", "occupation": "occupation", "area": {"column": "zip_code", "prefix": 3}},
    settings={
        "model": {"sequences": "histories", "embedding_dim": 128},
        "training": {"epochs": 16, "learning_rate": 0.2},
        "query": {"history_length": 30, "recency_decay": 0.7},
        "query.view_weights": {"item": 1.5},
        "split": {"history": "user", "max_queries": 10_000},
        "evaluation": {"exclude_seen": True},
    },
    downloads=(
        Download(
            "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
            "ml-1m.zip",
            "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
            5_917_549,
        ),
    ),
    time_unit="s",
)

_GRAPH_PROTOCOL = {
    "split": {"protocol": "kfold", "n_folds": 5},
    "evaluation": {"exclude_seen": True, "ks": [5, 10, 20]},
}
"""As models of the whole graph are compared: random folds, 80 % of the rows for training."""

DATA_SETS = (
    DataSet(
        name="complete-journey",
        content="grocery baskets, 2017: 2,405 households, 23,950 products, 100,000 rows in the bundled cut",
        licence="CC0 1.0; credit 84.51°",
        may_ship=True,
        page="https://cran.r-project.org/package=completejourney",
        files=complete_journey.FILES,
        read=complete_journey.read,
        columns=InteractionColumns(
            user="household_id", item="product_id", time="transaction_timestamp", session="basket_id"
        ),
        views={"category": "product_type", "shop": "manufacturer_id"},
        settings={
            "model": {"sequences": "histories", "window": 15, "context": "symmetric"},
            "training": {"epochs": 8, "learning_rate": 0.1},
            "query": {"history_length": 300, "recency_decay": 0.98, "popularity_weight": 0.75, "repeat_weight": 3.0},
            "query.view_weights": {"item": 1.0, "category": 2.0},
            "split": {"min_history": 4, "history": "user"},
            "baselines.ease": {"max_items": 4000},
        },
        bundled=True,
    ),
    DataSet(
        name="online-retail",
        content="invoices of a gift shop, 2010-12 to 2011-12: 4,372 customers, 4,070 stock codes, 541,909 lines",
        licence="CC BY 4.0 (doi 10.24432/C5BW33): credit D. Chen, UCI Machine Learning Repository",
        may_ship=True,
        page="https://archive.ics.uci.edu/dataset/352/online+retail",
        files=online_retail.FILES,
        read=online_retail.read,
        columns=InteractionColumns(user="customer_id", item="stock_code", time="invoice_date", session="invoice_no"),
        views={"category": "code_prefix", "word": "word"},
        settings={
            "model": {"sequences": "histories", "context": "symmetric"},
            "training": {"epochs": 30, "learning_rate": 0.2},
            "query": {"history_length": 10, "recency_decay": 0.5, "repeat_weight": -4.0},
            "query.view_weights": {"item": 2.0},
            "split": {"min_history": 4, "history": "user", "max_queries": 10_000},
        },
        downloads=(
            Download(
                "https://archive.ics.uci.edu/static/public/352/online+retail.zip",
                "online+retail.zip",
                "f5385cbb54bbebf7196389109c6b0621faab0c304e3702548165e71c84aede8b",
            ),
        ),
    ),
    _MOVIELENS,
    replace(
        _MOVIELENS,
        name="movielens-1m-graph",
        content="the same ratings in random folds, with all that is known of users and movies as nodes",
        views={"genre": "genres", "director": "directors", "actor": "actors"},
        settings=_GRAPH_PROTOCOL,
    ),
    DataSet(
        name="lastfm-hetrec",
        content="plays of artists, no times: 1,892 users, 17,632 artists, 92,834 rows, tags, friends",
        licence="non-commercial use, no redistribution (HetRec 2011, Last.FM)",
        may_ship=False,
        page="https://grouplens.org/datasets/hetrec-2011/",
        files=lastfm.FILES,
        read=lastfm.read,
        columns=InteractionColumns(user="user_id", item="artist_id", time="source_order"),
        views={"tag": "tags"},
        settings=_GRAPH_PROTOCOL,
        downloads=(
            Download(
                "https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip",
                "hetrec2011-lastfm-2k.zip",
                "6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
            ),
        ),
        time_unit="order",
    ),
    DataSet(
        name="amazon-cds",
        content="review sequences of CDs, order only: 17,052 users, 35,118 items, 472,265 reviews",
        licence="academic use, no redistribution (Amazon reviews by J. McAuley; this form by the authors of HGN)",
        may_ship=False,
        page="https://github.com/allenjack/HGN",
        files=amazon.FILES,
        read=amazon.read,
        columns=InteractionColumns(user="user_id", item="item_id", time="position"),
        settings={
            "model": {"sequences": "histories"},
            "split": {"protocol": "ratio"},
            "evaluation": {"exclude_seen": True},
        },
        downloads=tuple(Download(_HGN + name, name) for name in amazon.FILES),
        time_unit="order",
    ),
)

__all__ = ["DATA_SETS"]
