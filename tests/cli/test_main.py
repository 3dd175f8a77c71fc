"""What all verbs share: help that teaches, exit codes, errors in one line."""

import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from prismrec import __version__
from prismrec.cli import INTERRUPTED, app, training

VERBS = ["demo", "profile", "prepare", "train", "evaluate", "similar", "recommend", "export", "data"]


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_shows_an_example_of_it(prismrec, verb):
    result = prismrec(verb, "--help")
    assert result.exit_code == 0
    assert f"Example: prismrec {verb}" in " ".join(result.stdout.split())


def test_help_lists_every_verb_and_the_exit_codes(prismrec):
    text = " ".join(prismrec("--help").stdout.split())
    assert all(f"│ {verb} " in text for verb in VERBS)
    assert "Exit codes: 0 done, 1 unusable input" in text


def test_help_loads_nothing_heavy_and_is_fast():
    code = (
        "import sys; sys.argv = ['prismrec', '--help']\n"
        "from prismrec.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('numba', 'duckdb', 'ibis', 'torch', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    began = time.perf_counter()
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    assert time.perf_counter() - began < 3  # under 0.3 s on an idle machine


def test_version(prismrec):
    assert prismrec("--version").stdout == f"prismrec {__version__}\n"


def test_module_is_the_command():
    result = subprocess.run([sys.executable, "-m", "prismrec", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"prismrec {__version__}\n"


@pytest.mark.parametrize("arguments", [["trian"], ["train"], ["train", "x.toml", "-o", "b", "--epochs", "3"], []])
def test_a_wrong_command_line_exits_with_2(prismrec, arguments):
    assert prismrec(*arguments).exit_code == 2


def test_missing_settings_file_is_one_line_on_stderr_and_exit_1(prismrec, tmp_path):
    result = prismrec("train", tmp_path / "absent.toml", "-o", tmp_path / "bundle")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"prismrec: cannot read the settings file {tmp_path / 'absent.toml'}: No such file or directory\n"
    )


def test_misspelt_key_names_the_nearest(prismrec, shop, tmp_path):
    result = prismrec("train", shop, "-o", tmp_path / "bundle", "--set", "training.epoch=3")
    assert result.exit_code == 1
    assert "unknown key 'training.epoch'; did you mean 'epochs'?" in result.stderr


def test_set_without_a_value_says_what_is_expected(prismrec, shop):
    result = prismrec("profile", shop, "--set", "training")
    assert result.exit_code == 1
    assert "--set expects section.key=value, got 'training'" in result.stderr


def test_debug_shows_where_an_error_came_from(prismrec, tmp_path):
    result = prismrec("--debug", "similar", tmp_path, "1")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith(f"prismrec: {tmp_path} is not a bundle")


def test_ctrl_c_outside_training_exits_with_130(monkeypatch, shop, tmp_path):
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("prismrec.settings.read_settings", interrupted)
    result = CliRunner().invoke(app, ["train", str(shop), "-o", str(tmp_path / "bundle")])
    assert result.exit_code == INTERRUPTED == 130
    assert result.stderr == "prismrec: stopped by Ctrl-C\n"


def test_a_bug_is_not_dressed_up_as_a_user_error(monkeypatch):
    def broken(*args: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("prismrec.settings.read_settings", broken)
    result = CliRunner().invoke(app, ["train", "x.toml", "-o", "bundle"])
    assert isinstance(result.exception, RuntimeError)
    assert training.train.__doc__ is not None
