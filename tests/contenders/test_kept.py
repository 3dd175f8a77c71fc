"""A comparison that ended early goes on where it stood, and never takes what was measured under other settings."""

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prismrec import contenders
from prismrec.contenders import run
from prismrec.contenders.kept import code_digest
from prismrec.data.bundled import bundled_paths
from prismrec.errors import ArtifactError
from prismrec.evaluation.tables import to_json
from prismrec.inputs import read_tables
from prismrec.settings import demo_settings

FAST = ["training.epochs=1", "training.deterministic=true", "model.embedding_dim=4", "evaluation.n_resamples=100"]
NAMES = ("popularity", "cooccurrence", "single_view")


@pytest.fixture(scope="module")
def tables():
    """The purchases of 15 households and the products among them."""
    paths = bundled_paths()
    clicks, items = pq.read_table(paths.clicks), pq.read_table(paths.items)
    clicks = clicks.filter(pc.is_in(clicks["household_id"], clicks["household_id"].unique()[:15]))
    return clicks, items.filter(pc.is_in(items["product_id"], clicks["product_id"]))


def compared(tables, keep, *overrides, names=NAMES):
    settings = demo_settings([*FAST, *overrides])
    told: list[str] = []
    found = run(*read_tables(settings, *tables), settings, names, keep=keep, note=told.append)
    return found, [line.split(":")[1].strip() for line in told if line.startswith("kept: ")]


def test_what_was_measured_is_not_measured_again_and_says_the_same(tables, tmp_path, monkeypatch):
    first, kept = compared(tables, tmp_path / "kept")
    assert kept == []
    monkeypatch.setattr(contenders, "_measured", None)  # whoever measures now fails
    second, kept = compared(tables, tmp_path / "kept")
    assert kept == list(NAMES)
    assert to_json(second.comparison) == to_json(first.comparison)
    assert second.trials == first.trials
    assert (second.chosen, second.validation) == (first.chosen, first.validation)


def test_contender_that_ended_early_is_all_that_is_lost(tables, tmp_path, monkeypatch):
    measured = contenders._measured

    def killed(arena, name):
        if name == "single_view":
            raise KeyboardInterrupt
        return measured(arena, name)

    monkeypatch.setattr(contenders, "_measured", killed)
    with pytest.raises(KeyboardInterrupt):
        compared(tables, tmp_path / "kept")
    monkeypatch.setattr(contenders, "_measured", measured)
    assert compared(tables, tmp_path / "kept")[1] == ["popularity", "cooccurrence"]


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        ("training.seed=1", ["popularity", "cooccurrence"]),
        ("model.window=2", ["popularity", "cooccurrence"]),
        ("baselines.cooccurrence.shrinkage=3.0", ["popularity", "single_view"]),
        ("split.max_queries=7", []),
        ("sessions.min_dwell_seconds=0", list(NAMES)),  # there is no dwell time: the data are the same
    ],
)
def test_other_settings_are_other_results(tables, tmp_path_factory, override, kept):
    folder = tmp_path_factory.getbasetemp() / "kept-by-all"
    compared(tables, folder)
    assert compared(tables, folder, override)[1] == kept


def test_other_code_is_told_from_this_by_any_file(tmp_path):
    def written(name, **files):
        for path, text in files.items():
            (tmp_path / name / path).mkdir(parents=True)
            (tmp_path / name / path / "code.py").write_text(text)
        return code_digest(tmp_path / name)

    one = written("one", models="a = 1", data="b = 2")
    assert one == written("same", data="b = 2", models="a = 1")
    assert one != written("changed", models="a = 1", data="b = 3")
    assert one != written("moved", model="a = 1", data="b = 2")


def test_what_other_code_measured_is_measured_again(tables, tmp_path, monkeypatch):
    compared(tables, tmp_path / "kept", names=("popularity",))
    monkeypatch.setattr("prismrec.contenders.kept.code_digest", lambda: "other")
    assert compared(tables, tmp_path / "kept", names=("popularity",))[1] == []


def test_damaged_file_is_told_and_not_passed_over(tables, tmp_path):
    compared(tables, tmp_path / "kept", names=("popularity",))
    (path,) = (tmp_path / "kept").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match=r"popularity-\w+\.parquet does not hold results .* remove it"):
        compared(tables, tmp_path / "kept", names=("popularity",))
