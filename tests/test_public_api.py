"""The public names: there, documented, lazy, and few."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import prismrec
from prismrec import errors

INIT = Path(prismrec.__file__)


@pytest.mark.parametrize("name", sorted(set(prismrec.__all__) - {"__version__"}))
def test_public_name_leads_to_something_documented(name):
    value = getattr(prismrec, name)
    assert value.__doc__
    assert value.__module__.startswith("prismrec.")


def test_every_error_is_public():
    assert set(errors.__all__) <= set(prismrec.__all__)


def test_names_are_listed_before_they_are_loaded():
    code = "import prismrec; print(sorted(n for n in dir(prismrec) if n in prismrec.__all__) == prismrec.__all__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


def test_type_checkers_see_the_same_names():
    """The block for type checkers and the table for the interpreter name the same things."""
    block = INIT.read_text().split("if TYPE_CHECKING:")[1].split("_HOMES")[0]
    for name in set(prismrec.__all__) - {"__version__"}:
        assert name in block, f"{name} is missing under TYPE_CHECKING"
    assert set(prismrec._HOMES) == set(prismrec.__all__) - {"__version__"}


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'prismrec' has no attribute 'trian'"):
        _ = prismrec.trian  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        exec("from prismrec import trian")


def test_import_is_fast():
    """Under 0.3 s: the best of several, since a machine may be busy."""
    code = "import time; began = time.perf_counter(); import prismrec; print(time.perf_counter() - began)"
    seconds = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))
        time.sleep(0.05)
    assert min(seconds) < 0.3


def test_settings_from_values_name_the_nearest_key():
    with pytest.raises(errors.ConfigError, match=r"unknown key 'training\.epoch'; did you mean 'epochs'\?"):
        prismrec.build_settings({"training": {"epoch": 3}})
    assert prismrec.build_settings({"views": {"shop": "brand"}}, ["training.epochs=3"]).training.epochs == 3
