"""The one table of public data sets: what each is, under which terms, where it lies, and what reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prismrec.data.catalog import (
    amazon,
    complete_journey,
    lastfm,
    mind,
    mkr,
    movielens,
    movielens_knowledge,
    news_demo,
    online_retail,
    triple_sets,
)
from prismrec.data.catalog.dataset import DataSet, Download
from prismrec.data.schema import InteractionColumns

Settings = Mapping[str, Mapping[str, Any]]
"""Sections of a settings file."""

_HGN = (
    "https://raw.githubusercontent.com/allenjack/HGN/fa155185da89981e066ab81760d803707df53b6b/data/dataset/Amazon/CDs/"
)

_HETREC = Download(
    "https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip",
    "hetrec2011-lastfm-2k.zip",
    "6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
)
_MKR = "https://raw.githubusercontent.com/hwwang55/MKR/8c2a343ce3da750940a93cc3726947c4417d4ed5/data/movie/"
_KGCN = "https://raw.githubusercontent.com/hwwang55/KGCN/66d38e0461bcb4a89d983b72f6b1e3b13d00ff78/data/music/"
_OPENKE = "https://raw.githubusercontent.com/thunlp/OpenKE/{}/benchmarks/WN18RR/{}"
_OPENKE_VERSION = "3b7f0b19441f11d6bc9331e8d1001a056f759f00"
_OPENKE_TRAIN_VERSION = "923d6b326f5f184a5279917536f2c0c6bdce61aa"
_PYKEEN = "https://raw.githubusercontent.com/pykeen/pykeen/v1.11.1/src/pykeen/datasets/{}/{}"
_DKN = "https://raw.githubusercontent.com/hwwang55/DKN/6fa6098613fec7a16a79ce9fd87126521a7a9de1/data/news/"

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

_GRAPH_PROTOCOL: Settings = {
    "split": {"protocol": "kfold", "n_folds": 5},
    "evaluation": {"exclude_seen": True, "ks": [5, 10, 20]},
}
"""As models of the whole graph are compared: random folds, 80 % of the rows for training."""

_CLICK_PROTOCOL: Settings = {"split": {"protocol": "click", "repeats": 5}, "evaluation": {"exclude_seen": True}}
"""As RippleNet and MKR are compared: pairs at random, as many drawn negatives, the mean of five repeats."""

_LINK_PROTOCOL: Settings = {"split": {"protocol": "link"}}

_NEWS: Settings = {
    "sessions": {"min_rating": 1.0, "keep_unclicked_items": True},
    "split": {"protocol": "click", "negatives": "shown"},
    "evaluation": {"exclude_seen": True},
}
"""News that was shown and not clicked is no click, and an article that nobody clicked is one all the same."""

_PERSON = {"kind": "person"}


def _triple_set(name: str, content: str, licence: str, digests: tuple[str, str, str]) -> DataSet:
    """A knowledge graph as lines of names in three files, for training, validation and test."""
    files = triple_sets.NAMED_FILES
    return DataSet(
        name=name,
        content=f"{content}: triples for training, validation and test, no users",
        licence=licence,
        may_ship=False,
        page="https://github.com/pykeen/pykeen",
        files=files,
        read=triple_sets.named(name),
        columns=InteractionColumns(),
        settings=_LINK_PROTOCOL,
        downloads=tuple(Download(_PYKEEN.format(name, f), f, d) for f, d in zip(files, digests, strict=True)),
    )


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
        downloads=(_HETREC,),
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
    replace(
        _MOVIELENS,
        name="movielens-1m-knowledge",
        content="the same ratings, 4 stars and more as clicks, with a knowledge graph of what is known of the movies",
        files=movielens_knowledge.FILES,
        read=movielens_knowledge.read,
        views={"genre": "genres"},
        user_views={},
        relations={
            "genre": "genres",
            "director": {"column": "directors", **_PERSON},
            "writer": {"column": "writers", **_PERSON},
            "actor": {"column": "actors", **_PERSON},
            "year": {"column": "year", "kind": "year"},
            "certificate": "certificate",
            "language": {"column": "languages", "kind": "language"},
        },
        settings={
            "sessions": {
                "min_rating": 4.0,
                "min_user_interactions": 30,
                "max_user_interactions": 1000,
                "min_item_interactions": 5,
            },
            **_CLICK_PROTOCOL,
        },
    ),
    replace(
        _MOVIELENS,
        name="mkr-movie",
        content="MovieLens-1M as MKR has it: 6,036 users, 2,347 movies, 376,887 ratings of 4 and more, 20,195 triples",
        licence="research only, no redistribution, no commercial use (GroupLens); the graph: terms not stated",
        page="https://github.com/hwwang55/MKR",
        files=mkr.MOVIE_FILES,
        read=mkr.read_movies,
        views={"genre": "genres"},
        user_views={},
        settings={"sessions": {"min_rating": 4.0, "keep_unclicked_items": True}, **_CLICK_PROTOCOL},
        downloads=(*_MOVIELENS.downloads, *(Download(_MKR + name, name) for name in (mkr.GRAPH, mkr.LINKS))),
    ),
    DataSet(
        name="mkr-music",
        content="Last.FM as MKR has it: 1,872 users, 3,846 artists, 21,173 plays, 15,518 triples",
        licence="non-commercial use, no redistribution (HetRec 2011, Last.FM); the graph: terms not stated",
        may_ship=False,
        page="https://github.com/hwwang55/MKR",
        files=mkr.MUSIC_FILES,
        read=mkr.read_music,
        columns=InteractionColumns(user="user_id", item="artist_id", time="source_order"),
        settings=_CLICK_PROTOCOL,
        downloads=(_HETREC, *(Download(_KGCN + name, name) for name in (mkr.GRAPH, mkr.LINKS))),
        time_unit="order",
    ),
    DataSet(
        name="wn18rr",
        content="words of WordNet: 40,943 entities, 11 relations; 86,835 triples, 3,034 and 3,134 held out, no users",
        licence="WordNet licence (Princeton University): free use with its notice",
        may_ship=False,
        page="https://github.com/thunlp/OpenKE",
        files=triple_sets.OPENKE_FILES,
        read=triple_sets.openke("wn18rr"),
        columns=InteractionColumns(),
        settings=_LINK_PROTOCOL,
        downloads=tuple(
            Download(_OPENKE.format(_OPENKE_TRAIN_VERSION if "train" in name else _OPENKE_VERSION, name), name)
            for name in triple_sets.OPENKE_FILES
        ),
    ),
    _triple_set(
        "nations",
        "dealings of 14 countries in 55 relations, 1950 to 1965",
        "not stated (Rummel)",
        (
            "0830fa9da8e5bba2ccdaa45b7bdc9130451ba66b09ff2708f35fccaf82473e57",
            "2b337a62e51a2f45c283eac98a70d21b7e0e102136be1539b2a52c652a7b0530",
            "3971085165b47b6aeaec68058c6d8d98b3005e929db81268410b95ae4db770ab",
        ),
    ),
    _triple_set(
        "kinships",
        "kinship terms of the Alyawarra: 104 people, 25 relations",
        "not stated (Denham)",
        (
            "738612111a6acf0e39662bde24c7e72a4d1edf20931beea077da367dda689731",
            "c56f8630a583178b1e569f11a64aa535ae1ce0b0912d8b1e24716be2b37f04da",
            "05e5733265761d55be9c05bfaff5a8d0808df46f9c1e9d66cc3f2fe114e43d88",
        ),
    ),
    _triple_set(
        "umls",
        "types of biomedical concepts: 135 entities, 46 relations",
        "not stated (McCray, after UMLS)",
        (
            "873ef4925516b83e7f6f8cc02b4be51d848828710a7f65a956f0ac4a9e452f35",
            "025c98f8a4891e2a6582ec5b40ee0d904031edad9c52554522f4b7904820c98e",
            "a7eb529a3d2810fcc96341ccc97c625a5e202f8389673aa6bd317eeebbb79014",
        ),
    ),
    DataSet(
        name="news-demo",
        content="news that users were shown: 469 users, 9,075 titles, 10,863 rows with labels, entities in titles",
        licence="not stated (the authors of DKN; Microsoft)",
        may_ship=False,
        page="https://github.com/hwwang55/DKN",
        files=news_demo.FILES,
        read=news_demo.read,
        columns=InteractionColumns(user="user_id", item="article_id", time="position", rating="label"),
        views={"entity": "entities"},
        settings=_NEWS,
        downloads=(
            Download(
                _DKN + "raw_train.txt",
                "raw_train.txt",
                "9a699aac3bc2e95437ea943f36771764e45dc2b16ff86db6aee54e38010fd839",
            ),
            Download(
                _DKN + "raw_test.txt",
                "raw_test.txt",
                "5698c122c7643b0f5937e109fb2fc9a7716147fb3e15ab10c70eb4f76f2eefc9",
            ),
        ),
        time_unit="order",
    ),
    DataSet(
        name="mind",
        content="impressions of Microsoft News, 2019, as its folders have them: small, 50,000 users, or large",
        licence="Microsoft Research licence: research only, to be accepted on its page before a download",
        may_ship=False,
        page="https://msnews.github.io/",
        files=mind.FILES,
        read=mind.read,
        columns=InteractionColumns(user="user_id", item="article_id", time="time", rating="label"),
        views={"category": "category", "subcategory": "subcategory", "entity": "entities"},
        settings=_NEWS,
        time_unit="datetime",
    ),
)

__all__ = ["DATA_SETS"]
