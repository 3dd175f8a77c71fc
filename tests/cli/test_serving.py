"""`prismrec serve` and `prismrec rollback`: where settings come from; what cannot be served is one line."""

import shutil
from dataclasses import replace

import pytest

from prismrec.cli import serving
from prismrec.retrieval.bundle import Bundle
from prismrec.serving.http import server
from prismrec.serving.releases.releases import Releases
from prismrec.serving.state.store import State


@pytest.fixture
def own(bundle, tmp_path):
    """A bundle of this test's own."""
    return shutil.copytree(bundle, tmp_path / "bundle")


@pytest.fixture
def started(monkeypatch):
    """What would have been served; nothing is started."""
    seen = []
    monkeypatch.setattr(server, "run", lambda source, settings: seen.append((source, settings)))
    monkeypatch.delenv("PRISMREC_TOKEN", raising=False)
    return seen


def test_serve_adopts_the_bundle_and_says_where(prismrec, own, started):
    result = prismrec("serve", own, "--port", 8765)
    assert result.exit_code == 0, result.stderr
    assert "release 1, trained 20" in result.stderr
    assert "http://127.0.0.1:8765/" in result.stderr
    [(source, settings)] = started
    assert source == own.resolve()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8765, 1)
    assert Releases(own.with_name("bundle.serve"), own).current().number == 1


def test_options_win_over_set_and_that_over_the_file(prismrec, own, started, tmp_path):
    config = tmp_path / "shop.toml"
    config.write_text('[serving]\nport = 9001\nhome = "here"\nworkers = 4\nhost = "0.0.0.0"\n')
    result = prismrec("serve", own, "--config", config, "--set", "serving.port=9002", "--set", "serving.workers=3",
                      "--port", 9003)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    settings = started[0][1]
    assert (settings.host, settings.port, settings.workers) == ("0.0.0.0", 9003, 3)
    assert settings.home == str(tmp_path / "here"), "paths are meant from where the file lies"
    assert (tmp_path / "here" / "current.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "serving.prot=1"], "unknown key 'serving.prot'; did you mean 'port'"),
        (["--port", "70000"], "'serving.port': Input should be less than or equal to 65535"),
        (["--set", "serving.state=mysql://x"], "cannot read the url of the state database"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid, port 8000"),
    ],
)
def test_unusable_settings_are_told_in_one_line(prismrec, own, started, arguments, message):
    result = prismrec("serve", own, *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not started


def test_folder_without_a_bundle_is_told(prismrec, tmp_path, started):
    (tmp_path / "empty").mkdir()
    result = prismrec("serve", tmp_path / "empty")
    assert result.exit_code == 1
    assert "is no bundle, nor a folder of bundles" in result.stderr


def test_token_that_is_too_short_is_told(prismrec, own, started, monkeypatch):
    monkeypatch.setenv("PRISMREC_TOKEN", "hunter2")
    result = prismrec("serve", own)
    assert result.exit_code == 1
    assert "PRISMREC_TOKEN: a token has at least 16" in result.stderr
    assert "hunter2" not in result.stderr


def test_histories_fill_the_state_once(prismrec, own, started, shop):
    for expected in ("clicks stored anew", " 0 clicks stored anew"):
        result = prismrec("serve", own, "--histories", shop)
        assert result.exit_code == 0, result.stderr
        assert expected in result.stderr
    state = State.open(f"sqlite:///{own}.serve/state.sqlite")
    try:
        assert len(state.histories([1], 1000)[1]) > 1
    finally:
        state.close()


def test_missing_extra_is_named(prismrec, own, monkeypatch):
    monkeypatch.setattr(serving, "find_spec", lambda name: None if name in ("uvicorn", "sqlalchemy") else name)
    for command in ("serve", "rollback"):
        result = prismrec(command, own)
        assert result.exit_code == 1
        assert "serving needs uvicorn, sqlalchemy: install with pip install 'prismrec[serve]'" in result.stderr


def test_rollback_goes_to_the_release_before(prismrec, answer, own, started, bundle):
    assert prismrec("serve", own).exit_code == 0
    result = prismrec("rollback", own)
    assert result.exit_code == 1
    assert "there is no earlier release to go back to" in result.stderr
    contents = Bundle.open(own).contents
    Bundle.write(own, replace(contents, seed=contents.seed + 1))
    Releases(own.with_name("bundle.serve"), own).adopt()
    told = answer("rollback", own)
    assert told["number"] == 1
    assert set(told) == {"number", "created", "fingerprint"}
