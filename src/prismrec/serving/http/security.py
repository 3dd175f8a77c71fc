"""Who may write, which names the server answers to, and the headers that keep browsers from doing more.

Reading is open to whoever reaches the port. Writing and administration need `Authorization: Bearer TOKEN`. Without a
token they work only for programs on this machine: on a loopback address, under a local name, not through a proxy, and
not from a page of another origin. Bound to anything else, they are off.

A page that a browser on this machine shows can send requests here (cross-site request forgery), or have its own name
point here (DNS rebinding) to read answers too. The first is met by refusing what browsers mark as coming from another
origin, and bodies that are not JSON; the second by refusing unknown names in the Host header.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prismrec.errors import ConfigError
from prismrec.serving.http.failures import Refusal
from prismrec.serving.settings import ServeSettings

TOKEN_VARIABLE = "PRISMREC_TOKEN"
SHORTEST_TOKEN = 16
"""Characters below which a token could be guessed."""

API_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""For every answer that has no policy of its own, as the explorer page has."""

SECURITY_HEADERS = {
    "content-security-policy": API_CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}

_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def token_of(settings: ServeSettings, environment: Mapping[str, str] = os.environ) -> bytes | None:
    """The token for writes: from the environment, else from the file of the settings; None where neither has one.

    Raises:
        ConfigError: the token is too short or not printable ASCII, or its file cannot be read.
    """
    if TOKEN_VARIABLE in environment:
        return _checked(environment[TOKEN_VARIABLE], f"the environment variable {TOKEN_VARIABLE}")
    if not settings.token_file:
        return None
    try:
        text = Path(settings.token_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read serving.token_file {settings.token_file}: {error}") from error
    return _checked(text.strip(), f"serving.token_file {settings.token_file}")


def _checked(token: str, place: str) -> bytes:
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"{place}: a token has at least {SHORTEST_TOKEN} printable ASCII characters and no space, this one has "
            f"{len(token)}; make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return token.encode()


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Decides on names and writes."""

    def __init__(self, settings: ServeSettings, token: bytes | None) -> None:
        """Bind the settings; `token` is None where none is configured."""
        self.token = token
        self._local = is_loopback(settings.host)
        self._allowed = frozenset(name.lower() for name in settings.allowed_hosts)

    def check_host(self, headers: Headers) -> None:
        """Refuse a request under a name that is not ours.

        Raises:
            Refusal: 421.
        """
        name = host_name(headers.get("host", ""))
        if (not self._local and not self._allowed) or name in self._allowed or _is_local_name(name):
            return
        message = "this server does not answer to that host name; serving.allowed_hosts lists those it does"
        raise Refusal(421, "unknown_host", message)

    def check_write(self, headers: Headers) -> None:
        """Refuse a write, or a request to the administration, of someone who may not.

        Raises:
            Refusal: 401 for a wrong or missing token, 403 where no token could help.
        """
        if self.token is not None:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token):
                message = "this needs the header 'Authorization: Bearer TOKEN' with the server's token"
                raise Refusal(401, "unauthorized", message, {"www-authenticate": "Bearer"})
        elif not self._local:
            message = (
                f"writes and administration are off: this server listens beyond its own machine and has no token; "
                f"set {TOKEN_VARIABLE} or serving.token_file"
            )
            raise Refusal(403, "writes_off", message)
        else:
            self._check_local_write(headers)

    def _check_local_write(self, headers: Headers) -> None:
        if not _is_local_name(host_name(headers.get("host", ""))) or any(name in headers for name in _PROXY_HEADERS):
            message = f"without a token, writes come from this machine, not through a proxy; set {TOKEN_VARIABLE}"
            raise Refusal(403, "writes_off", message)
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
        if foreign or headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            message = "a page of another origin may not write here without a token"
            raise Refusal(403, "foreign_origin", message)


def host_name(host: str) -> str:
    """The name in a Host header: without its port, without the brackets of an IPv6 address.

    >>> host_name("LOCALHOST:8000"), host_name("[::1]:8000"), host_name("shop.example")
    ('localhost', '::1', 'shop.example')
    """
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def _is_local_name(name: str) -> bool:
    """A name that no stranger's DNS can give: localhost, or an address."""
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Secure:
    """Middleware: refuses foreign names, and adds the headers that tell browsers what not to do."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        """Wrap an application."""
        self.app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or raise `Refusal`."""
        if scope["type"] == "http":
            self._guard.check_host(Headers(scope=scope))
        await self.app(scope, receive, send)


def security_headers(message: Message) -> list[tuple[bytes, bytes]]:
    """What the start of a response lacks of the headers above."""
    present = {name.lower() for name, _ in message["headers"]}
    return [header for header in _RAW_HEADERS if header[0] not in present]


__all__ = [
    "API_CONTENT_POLICY", "SECURITY_HEADERS", "SHORTEST_TOKEN", "TOKEN_VARIABLE", "Guard", "Secure",
    "host_name", "is_loopback", "security_headers", "token_of",
]  # fmt: skip
