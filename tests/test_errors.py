import inspect
import pickle
import re

import pytest

from prismrec import errors
from prismrec.errors import PrismRecError, UnknownIdError

BUILTINS = {
    "ConfigError": ValueError,
    "DataError": ValueError,
    "UnknownIdError": KeyError,
    "NotFittedError": RuntimeError,
    "TrainingError": ArithmeticError,
    "ArtifactError": OSError,
    "ResourceError": OSError,
    "CrewError": ConnectionError,
    "MissingExtraError": ImportError,
}


def test_the_tree_is_complete():
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert classes == {*BUILTINS, "PrismRecError"} == set(errors.__all__)
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert drawn == set(BUILTINS)


@pytest.mark.parametrize(("name", "builtin"), BUILTINS.items())
def test_each_error_is_ours_and_the_matching_builtin(name, builtin):
    cls = getattr(errors, name)
    with pytest.raises(builtin, match="what to do") as caught:
        raise cls("what came, what to do")
    assert isinstance(caught.value, PrismRecError)
    assert str(caught.value) == "what came, what to do"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - crosses processes


def test_message_of_an_unknown_id_is_text_not_its_repr():
    assert str(UnknownIdError("unknown id 'a'")) == "unknown id 'a'"
    assert str(UnknownIdError()) == ""
