"""Settings of the service: where things lie unless told otherwise; loading them loads no web framework."""

import subprocess
import sys
from pathlib import Path

import pytest

from prismrec.config import build
from prismrec.errors import ConfigError
from prismrec.serving.settings import ServeSettings
from prismrec.settings import Settings, build_settings


def test_home_and_state_lie_beside_the_bundle():
    settings = ServeSettings()
    assert settings.home_of(Path("/srv/bundle")) == Path("/srv/bundle.serve")
    assert settings.state_url(Path("/srv/bundle")) == "sqlite:////srv/bundle.serve/state.sqlite"


def test_home_moves_the_state_with_it_and_the_state_may_go_elsewhere():
    settings = ServeSettings(home="/var/shop")
    assert settings.home_of(Path("/srv/bundle")) == Path("/var/shop")
    assert settings.state_url(Path("/srv/bundle")) == "sqlite:////var/shop/state.sqlite"
    elsewhere = ServeSettings(home="/var/shop", state="postgresql://db/shop")
    assert elsewhere.state_url(Path("/srv/bundle")) == "postgresql://db/shop"


def test_only_this_machine_is_served_by_default():
    assert (ServeSettings().host, ServeSettings().workers, ServeSettings().allowed_hosts) == ("127.0.0.1", 1, ())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"port": 0}, "'port': Input should be greater than or equal to 1"),
        ({"workers": 0}, "'workers': "),
        ({"limits": {"kk": 5}}, "unknown key 'limits.kk'; did you mean 'k'"),
        ({"traffic": {"request_seconds": 0}}, "'traffic.request_seconds': "),
        ({"refresh_seconds": 0}, "'refresh_seconds': "),
    ],
)
def test_unusable_settings_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        build(ServeSettings, values)


def test_service_is_no_part_of_what_a_bundle_is_made_of():
    """Nor of its manifest: the address of a database may hold a password."""
    settings = build_settings({"serving": {"state": "postgresql://me:secret@db/shop", "port": 9000}})
    assert settings.serving.port == 9000
    assert "serving" not in settings.model_dump()
    assert "secret" not in settings.model_dump_json()
    assert Settings.model_validate(settings.model_dump()).serving == ServeSettings()


def test_settings_load_no_web_framework():
    heavy = ["fastapi", "starlette", "uvicorn", "sqlalchemy", "prometheus_client"]
    code = f"import sys, prismrec.settings; print([m for m in {heavy!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
