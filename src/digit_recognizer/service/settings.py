"""Settings of the service, from flags of ``digits serve`` or environment variables."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from digit_recognizer.errors import DigitsError

PREFIX = "DIGITS_"  # of environment variables: DIGITS_PORT
OWN_PATHS = ("docs", "metrics", "openapi.json", "static", "v1", "v2")  # first parts of the service's paths
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]+", re.IGNORECASE)

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class Settings(BaseSettings):
    """Settings of the service.

    Attributes
    ----------
    model
        A run folder or a ``model.onnx``; None: the shipped model.
    host, port
        The address to listen on; port 0 picks a free one.
    root_path
        The path below which a reverse proxy serves the service, such as ``/digits``; empty: at the root.
    token, no_token
        The bearer token that clients must send. Remote access needs a token or `no_token`.
    corrections, corrections_file
        Whether to store users' corrections, and the SQLite file.
    log_json
        Log each request as a JSON object on standard error.
    workers
        Number of processes.
    allow_origin
        Comma-separated origins whose pages may use the service (CORS).
    allow_host
        Comma-separated further host names that clients may use. They are checked only if the service listens
        on this machine alone and needs no token: this protects against DNS rebinding.
    body_bytes, pixels, images
        Largest request, picture, and number of images in a request.
    in_flight
        Requests in progress; further ones get 503.
    connections
        Open connections; beyond that, the one that has been idle longest is closed.
    request_seconds, body_seconds, header_seconds
        Timeouts for the answer, for receiving the body, and for receiving the headers.
    drain_seconds
        How long after SIGTERM the service still takes requests, while it reports that it is not ready.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    model: Path | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    root_path: str = ""
    token: SecretStr | None = None
    no_token: bool = False
    corrections: bool = False
    corrections_file: Path = Path("runs/corrections.sqlite")
    log_json: bool = False
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    allow_origin: str = ""
    allow_host: str = ""
    body_bytes: Count = 20_000_000
    pixels: Count = 150_000_000
    images: Count = 1024
    in_flight: Count = 64
    connections: Count = 1000
    request_seconds: Seconds = 5
    body_seconds: Seconds = 20
    header_seconds: Seconds = 5
    drain_seconds: Annotated[float, Field(ge=0, le=60)] = 0.5

    @field_validator("token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            value = token.get_secret_value()
            if not (value.isascii() and value.isprintable() and value.split() == [value]):
                raise ValueError("expected printable ASCII characters without spaces")
        return token

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        if not host.strip():
            raise ValueError("expected a host name or an address, such as 127.0.0.1, or 0.0.0.0 for all")
        return host

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, given: str) -> str:
        parts = given.strip().strip("/")
        path = f"/{parts}" if parts else ""
        if not ROOT_PATH.fullmatch(path) or {".", ".."} & set(parts.split("/")):
            raise ValueError(f"expected a path such as /digits, without a host name, got {given!r}")
        if parts.split("/")[0] in OWN_PATHS:
            raise ValueError(f"expected a path that does not start like the service's own, got {given!r}")
        return path

    @field_validator("allow_origin")
    @classmethod
    def _check_origins(cls, origins: str) -> str:
        for origin in split_commas(origins):
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(f"expected origins such as https://example.org, or *, got {origin!r}")
        return origins

    @model_validator(mode="after")
    def _check_remote_access(self) -> Settings:
        if self.token is None and not self.no_token and not is_loopback(self.host):
            raise ValueError(
                f"{self.host} can be reached from other machines: "
                "give --token, or --no-token to serve everyone without one"
            )
        return self

    @property
    def hosts(self) -> frozenset[str] | None:
        """The host names that clients may use; None: any."""
        if self.token is not None or not is_loopback(self.host):
            return None
        return frozenset(each.lower() for each in (self.host, "localhost", *split_commas(self.allow_host)))


def split_commas(values: str) -> list[str]:
    """Return the values of a comma-separated setting."""
    return [value for each in values.split(",") if (value := each.strip())]


def make_settings(**given: Any) -> Settings:
    """Return the settings: an argument that is not None, else the environment variable, else the default.

    Raises
    ------
    DigitsError
        A value has the wrong type or is out of range.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        name = ".".join(map(str, first["loc"]))
        flag = name.replace("_", "-")
        place = f"--{flag} or {PREFIX}{name.upper()}: " if name else ""
        raise DigitsError(place + message[:1].lower() + message[1:]) from error


def is_loopback(host: str) -> bool:
    """Return whether a host name or address can be reached from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
