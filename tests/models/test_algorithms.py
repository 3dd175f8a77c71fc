"""The one table of algorithms: every name leads to a class, and missing packages are named with their extra."""

import sys

import numpy as np
import pytest

from prismrec.errors import ArtifactError, MissingExtraError
from prismrec.models import algorithms
from prismrec.models.algorithms import ENCODERS, MODELS, NEURAL, TRANSLATION, ModelsConfig, build_model, open_encoder
from prismrec.models.contract import StoredEncoder
from prismrec.settings import Settings


def test_every_algorithm_has_a_class_an_encoder_and_settings():
    assert set(MODELS) == set(ENCODERS) == set(NEURAL)
    assert set(ModelsConfig.model_fields) == {*NEURAL, *TRANSLATION}
    assert Settings.model_fields["algorithm"].default == "m2grl"


def test_settings_have_at_most_twelve_fields_each_with_a_description():
    for name in (*NEURAL, *TRANSLATION):
        section = type(getattr(ModelsConfig(), name))
        assert 1 <= len(section.model_fields) <= 12, name
        assert all(field.description for field in section.model_fields.values()), name


def test_an_encoder_of_a_newer_version_is_refused():
    with pytest.raises(ArtifactError, match="a model 'bert' that this PrismRec does not know: update it"):
        open_encoder(StoredEncoder("bert", {}, {}, False))


@pytest.mark.parametrize("algorithm", ["mf", "ma_gnn", "sasrec", "gru4rec", "hgn"])
def test_an_encoder_that_lacks_an_array_is_refused(algorithm):
    told = rf"(?s)encoder of {algorithm} cannot be opened: .*update, or train again"
    with pytest.raises(ArtifactError, match=told):
        open_encoder(StoredEncoder(algorithm, {}, {"items": np.zeros((3, 64), np.float32)}, False))


@pytest.mark.parametrize("algorithm", ["ma_gnn", "sasrec", "gru4rec", "hgn"])
def test_an_encoder_with_a_setting_of_a_newer_version_is_refused(algorithm):
    arrays = {name: np.zeros((3, 64), np.float32) for name in ("items", "users", "sources", "hidden")}
    with pytest.raises(ArtifactError, match=rf"(?s)encoder of {algorithm} cannot be opened: .*warp.*a newer PrismRec"):
        open_encoder(StoredEncoder(algorithm, {"warp": 9}, arrays, False))


def test_a_missing_package_is_named_with_the_extra_that_has_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "a_package_that_is_not_there", None)
    monkeypatch.setattr(algorithms, "MODELS", {"mf": ("a_package_that_is_not_there.mf", "MF")})
    with pytest.raises(MissingExtraError, match=r"mf needs a_package_that_is_not_there.*'prismrec\[neural\]'"):
        build_model("mf", ModelsConfig(), None, seed=0, device="cpu")  # type: ignore[arg-type]


def test_a_module_of_our_own_that_is_missing_is_no_missing_extra(monkeypatch):
    monkeypatch.setattr(algorithms, "MODELS", {"mf": ("prismrec.models.not_written", "MF")})
    with pytest.raises(ModuleNotFoundError, match=r"prismrec\.models\.not_written"):
        build_model("mf", ModelsConfig(), None, seed=0, device="cpu")  # type: ignore[arg-type]
