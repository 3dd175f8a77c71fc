"""The small model of `toy.py` for every test of the training stage."""

import importlib.util
from pathlib import Path

import pytest

TOY = Path(__file__).with_name("toy.py")


@pytest.fixture(scope="session")
def toy():
    """The module `toy.py`, which is also a program: the tests are no package, so it is loaded by its path."""
    spec = importlib.util.spec_from_file_location("prismrec_training_toy", TOY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
