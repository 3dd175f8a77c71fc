"""Who may write, under which names, and what browsers are told."""

import pytest
from starlette.datastructures import Headers

from prismrec.config import build
from prismrec.errors import ConfigError
from prismrec.serving.http.failures import Refusal
from prismrec.serving.http.security import Guard, host_name, is_loopback, token_of
from prismrec.serving.settings import ServeSettings

TOKEN = "a-token-of-some-length"
WRITES = [
    ("POST", "/v1/items"), ("DELETE", "/v1/items/5"), ("POST", "/v1/events"), ("DELETE", "/v1/users/5"),
    ("POST", "/admin/reload"), ("POST", "/admin/rollback"), ("GET", "/admin/releases"),
]  # fmt: skip
READS = [("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/")]


def guard(token=None, **values):
    return Guard(build(ServeSettings, values), token.encode() if token else None)


def refusal(check, **headers):
    """The code of the refusal, None where there is none."""
    try:
        check(Headers({name.replace("_", "-"): value for name, value in {"host": "localhost", **headers}.items()}))
    except Refusal as error:
        return error.code
    return None


# ---- the token ----


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_every_write_needs_the_token(make_api, method, path):
    api = make_api(token=TOKEN)
    for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"authorization": f"Basic {TOKEN}"},
                   {"authorization": f"Bearer {TOKEN}x"}, {"authorization": "Bearer é".encode()}):  # fmt: skip
        response = api(method, path, headers=header)
        assert response.status_code == 401, path
        assert response.json()["error"]["code"] == "unauthorized"
        assert response.headers["www-authenticate"] == "Bearer"
    assert api(method, path, headers={"authorization": f"bearer {TOKEN}"}).status_code not in (401, 403)


@pytest.mark.parametrize(("method", "path"), [*READS, ("POST", "/v1/recommend"), ("POST", "/v1/similar")])
def test_reading_needs_no_token(make_api, method, path):
    assert make_api(token=TOKEN)(method, path).status_code not in (401, 403)


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_without_a_token_writes_are_off_where_others_can_reach_them(make_api, method, path):
    response = make_api({"host": "0.0.0.0"})(method, path, headers={"authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 403
    assert "has no token; set PRISMREC_TOKEN or serving.token_file" in response.json()["error"]["message"]


def test_token_comes_from_the_environment_or_a_file(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}-file\n")
    settings = ServeSettings(token_file=str(file))
    assert token_of(ServeSettings(), {}) is None
    assert token_of(settings, {}) == f"{TOKEN}-file".encode()
    assert token_of(settings, {"PRISMREC_TOKEN": TOKEN}) == TOKEN.encode()


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "ünicode-token-of-length", "with space in the token"])
def test_unusable_token_is_refused_and_not_repeated(token):
    with pytest.raises(ConfigError, match="PRISMREC_TOKEN: a token has at least 16 printable ASCII") as caught:
        token_of(ServeSettings(), {"PRISMREC_TOKEN": token})
    assert not token or token not in str(caught.value)


def test_missing_token_file_is_an_error_not_an_open_door(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read serving.token_file .*gone"):
        token_of(ServeSettings(token_file=str(tmp_path / "gone")), {})


# ---- writes without a token, from this machine ----


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, None),
        ({"sec_fetch_site": "same-origin", "origin": "http://localhost:8000", "host": "localhost:8000"}, None),
        ({"sec_fetch_site": "none"}, None),
        ({"sec_fetch_site": "cross-site"}, "foreign_origin"),
        ({"sec_fetch_site": "same-site"}, "foreign_origin"),
        ({"origin": "http://evil.example"}, "foreign_origin"),
        ({"origin": "null"}, "foreign_origin"),
        ({"origin": "http://localhost:3000", "host": "localhost:8000"}, "foreign_origin"),
        ({"host": "shop.example"}, "writes_off"),
        ({"x_forwarded_for": "1.2.3.4"}, "writes_off"),
        ({"forwarded": "for=1.2.3.4"}, "writes_off"),
    ],
)
def test_local_writes_come_from_programs_and_the_servers_own_page(headers, code):
    assert refusal(guard(allowed_hosts=["shop.example"]).check_write, **headers) == code


def test_with_a_token_the_origin_does_not_matter():
    assert refusal(guard(TOKEN).check_write, origin="http://evil.example", authorization=f"Bearer {TOKEN}") is None


# ---- names ----


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "192.168.1.5"])
def test_local_names_and_addresses_are_ours(host):
    assert refusal(guard().check_host, host=host) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "127.0.0.1.nip.io"]
)
def test_other_names_are_not_where_only_this_machine_should_ask(make_api, host):
    assert refusal(guard().check_host, host=host) == "unknown_host"
    response = make_api()("GET", "/health", headers={"host": host})
    assert (response.status_code, response.json()["error"]["code"]) == (421, "unknown_host")


def test_allowed_names_are_allowed_and_others_then_not():
    for values in ({}, {"host": "0.0.0.0"}):
        named = guard(**values, allowed_hosts=["Shop.Example"])
        assert refusal(named.check_host, host="shop.example:443") is None
        assert refusal(named.check_host, host="other.example") == "unknown_host"
    assert refusal(guard(host="0.0.0.0").check_host, host="anything.example") is None


@pytest.mark.parametrize(
    ("host", "name"),
    [("a.b:1", "a.b"), ("A.B", "a.b"), ("a.b.", "a.b"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("", ""), (":80", "")],
)
def test_name_in_a_host_header(host, name):
    assert host_name(host) == name


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org"])
def test_not_loopback(host):
    assert not is_loopback(host)


# ---- what browsers are told ----


@pytest.mark.parametrize(("method", "path"), [("GET", "/health"), ("GET", "/nothing"), ("POST", "/v1/recommend")])
def test_answers_tell_browsers_to_do_nothing_with_them(api, method, path):
    headers = api(method, path).headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


def test_page_keeps_its_own_policy(api):
    policies = api("GET", "/").headers.get_list("content-security-policy")
    assert len(policies) == 1
    assert "script-src 'self'" in policies[0]
