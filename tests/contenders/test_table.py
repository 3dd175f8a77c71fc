"""The tables of contenders: every name leads somewhere, every field exists."""

import pytest

from prismrec.contenders import ABLATIONS, BASELINES, CONTROLS, DEFAULT, SPACES, VARIANTS, with_controls
from prismrec.contenders.arena import varied
from prismrec.models.algorithms import NEURAL
from prismrec.models.baselines import BaselinesConfig
from prismrec.settings import demo_settings


def test_names_and_spaces_belong_together():
    assert set(SPACES) == set(BaselinesConfig.model_fields)
    assert set(DEFAULT) <= {*SPACES, *VARIANTS}
    assert set(BASELINES) <= set(SPACES)
    assert not set(SPACES) & set(VARIANTS)


def test_every_algorithm_is_a_contender_of_its_own_name():
    for name in ("m2grl", *NEURAL):
        assert VARIANTS[name] == {"algorithm": name}


def test_ablations_begin_with_the_model_itself():
    for algorithm, names in ABLATIONS.items():
        assert names[0] == algorithm
        assert set(names) <= set(VARIANTS)
        assert len(set(names)) == len(names)


def test_ablations_of_ma_gnn_take_away_each_part_that_its_paper_has():
    changed = {name: VARIANTS[name] for name in ABLATIONS["ma_gnn"][1:7]}
    prefix = "models.ma_gnn.parts."
    assert [{k.removeprefix(prefix): v for k, v in c.items() if k != "algorithm"} for c in changed.values()] == [
        {"interests": "short"}, {"interests": "long", "bilinear": False}, {"memory": False}, {"gate": False},
        {"bilinear": False}, {"graph": False},
    ]  # fmt: skip


def test_figure_4_of_mthgt_has_dense_sampling_and_several_tasks_each_alone():
    start = demo_settings()
    found = {name: varied(start, VARIANTS[name]) for name in ("hgt_plain", "hgt_d", "hgt_m", "mthgt")}
    models = {name: settings.models.mthgt for name, settings in found.items()}
    assert {(name, model.subgraph.sampling, model.tasks) for name, model in models.items()} == {
        ("hgt_plain", "random", "recommendation"),
        ("hgt_d", "dense", "recommendation"),
        ("hgt_m", "random", "both"),
        ("mthgt", "dense", "both"),
    }
    assert {settings.algorithm for settings in found.values()} == {"mthgt"}
    rest = [model.model_copy(update={"subgraph": None, "tasks": None}) for model in models.values()]
    assert rest == rest[:1] * 4, "nothing else differs"


@pytest.mark.parametrize("name", VARIANTS)
def test_the_fields_of_every_variant_exist_and_change_something(name):
    start = demo_settings(["model.context=forward"])  # the demo's own is that of a variant
    settings = varied(start, VARIANTS[name])
    assert settings.algorithm == VARIANTS[name]["algorithm"]
    for field, value in VARIANTS[name].items():
        place = settings
        for part in field.split("."):
            place = getattr(place, part)
        assert place == value
    if name not in ("m2grl", *NEURAL):
        assert settings != varied(start, {"algorithm": settings.algorithm})


def test_each_knowledge_aware_model_is_followed_by_its_controls():
    assert with_controls(["popularity", "mkr", "ripplenet", "mkr_absent"]) == (
        "popularity", "mkr", "mkr_shuffled", "mkr_absent", "ripplenet", "ripplenet_shuffled", "ripplenet_absent",
    )  # fmt: skip
    assert with_controls(DEFAULT) == DEFAULT


def test_a_control_is_its_model_and_nothing_but_the_graph_differs():
    start = demo_settings()
    for model, controls in CONTROLS.items():
        own = varied(start, VARIANTS[model])
        for name, control in controls.items():
            changed = varied(start, VARIANTS[name])
            if model == "dkn":  # whose graph is made of titles
                assert changed == varied(own, {"models.dkn.parts.control": control})
                continue
            assert changed.knowledge == own.knowledge.model_copy(update={"control": control})
            assert changed.model_copy(update={"knowledge": own.knowledge}) == own


def test_ablations_of_dkn_are_the_rows_of_its_table_3_and_its_words_without_a_beginning():
    parts = {name: varied(demo_settings(), VARIANTS[name]).models.dkn for name in ABLATIONS["dkn"]}
    assert [parts[name].parts.channels for name in ABLATIONS["dkn"][:4]] == ["both", "entity", "context", "none"]
    assert [parts[name].parts.mapping for name in ("dkn", "dkn_linear", "dkn_no_mapping")] == [
        "nonlinear", "linear", "none",
    ]  # fmt: skip
    assert [name for name, model in parts.items() if not model.parts.attention] == ["dkn_no_attention"]
    assert [name for name, model in parts.items() if model.vectors.words == "random"] == ["dkn_random_words"]
