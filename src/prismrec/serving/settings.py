"""Settings of the service: where it listens, what it keeps, what it lets one request ask."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from prismrec.config import Section
from prismrec.serving.page.settings import PageSettings
from prismrec.serving.releases.releases import ReleaseSettings


class LimitSettings(Section):
    """What one request may ask; more is answered with 413 or 422 and a sentence that names the limit."""

    body_bytes: int = Field(default=2**20, ge=1024, description="bytes of a request's body")
    json_depth: int = Field(default=32, ge=8, le=100, description="how deep lists and objects may lie in each other")
    text_length: int = Field(default=256, ge=1, description="characters of an id, of a name, of a value")
    k: int = Field(default=500, ge=1, description="items of one answer")
    history: int = Field(default=1000, ge=1, description="items of the history in one request, and read for a user")
    batch: int = Field(default=100, ge=1, description="requests, items or events in one body")
    filter_values: int = Field(default=1000, ge=1, description="ids of a list, and values of a condition")
    conditions: int = Field(default=20, ge=1, description="views or columns in filters, weights, quotas, preferences")
    pool: int = Field(default=2000, ge=1, description="candidates that diversity may weigh")


class TrafficSettings(Section):
    """How much at once and how long, per worker process."""

    requests: int = Field(default=256, ge=1, description="requests at once; more are told to come back, 503")
    waiting: int = Field(default=512, ge=1, description="questions that wait for their batch; more are refused, 503")
    batch: int = Field(default=64, ge=1, description="questions that are answered together at most")
    encoder_threads: int = Field(
        default=1, ge=1, le=256, description="threads of torch, where the model's encoder runs in it"
    )
    connections: int = Field(default=2048, ge=1, description="open connections; more are refused")
    head_bytes: int = Field(default=32 * 1024, ge=1024, description="bytes of request line and headers")
    request_seconds: float = Field(default=10, gt=0, description="seconds until a request is given up, 503")
    idle_seconds: int = Field(default=15, ge=1, description="seconds after which a silent connection is closed")
    drain_seconds: float = Field(
        default=0,
        ge=0,
        description="seconds between SIGTERM and the end of accepting: time for a balancer to see /ready",
    )
    shutdown_seconds: int = Field(default=30, ge=1, description="seconds that requests in flight get to finish")


class ServeSettings(Section):
    """The service."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on; 0.0.0.0 = all")
    port: int = Field(default=8000, ge=1, le=65535, description="port to listen on")
    workers: int = Field(default=1, ge=1, le=256, description="processes; two or more are restarted when they die")
    home: str = Field(default="", description="folder for releases and state; <bundle>.serve beside it where empty")
    state: str = Field(
        default="", description="sqlite:///file or postgresql://user@host/name; a SQLite file in home where empty"
    )
    token_file: str = Field(
        default="", description="file with the token for writes and admin; PRISMREC_TOKEN in the environment wins"
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="names that the Host header may have; only local ones where empty and bound locally"
    )
    refresh_seconds: float = Field(
        default=0.5, ge=0.05, description="seconds between looks for new releases and for items that others changed"
    )
    limits: LimitSettings = LimitSettings()
    traffic: TrafficSettings = TrafficSettings()
    releases: ReleaseSettings = ReleaseSettings()
    page: PageSettings = PageSettings()

    def home_of(self, source: Path) -> Path:
        """The folder for releases and state of a bundle, or of a folder of bundles."""
        return Path(self.home) if self.home else source.with_name(f"{source.name}.serve")

    def state_url(self, source: Path) -> str:
        """Where histories and added items are kept."""
        return self.state or f"sqlite:///{self.home_of(source) / 'state.sqlite'}"


__all__ = ["LimitSettings", "ServeSettings", "TrafficSettings"]
