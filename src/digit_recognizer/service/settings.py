"""All that can be set about the service: by a flag of ``digits serve``, or by an environment variable."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from digit_recognizer.errors import DigitsError

PREFIX = "DIGITS_"  # begins the names of environment variables: DIGITS_PORT
MEGABYTE = 1_000_000  # bytes
MEGAPIXEL = 1_000_000  # pixels
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]+", re.IGNORECASE)

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class Settings(BaseSettings):
    """What the service does, and how much it takes.

    Attributes
    ----------
    model
        A run folder or a ``model.onnx``; the model that comes with the package if None.
    host, port
        Where it listens; port 0 takes a free one.
    token, no_token
        The bearer token that requests must carry; without one, only this machine is served unless `no_token`.
    corrections, corrections_file
        Whether users' corrections are kept, and in which SQLite file.
    log_json
        Write a line of JSON about each request to standard error.
    workers
        Processes that serve.
    allow_origin
        Origins, by commas, whose pages may ask (CORS); none if empty.
    allow_host
        Names, by commas, that this service may be asked by beside ``localhost``, where only this machine is
        served and needs no token: a page of another host could have its name lead here.
    body_bytes, pixels, images
        The largest request, picture, and number of images in a request.
    in_flight
        Requests that are worked on at a time; further ones are told to come again.
    connections
        Open connections; the one that has waited longest makes room for a new one.
    request_seconds, body_seconds, header_seconds
        How long an answer may take, and how long a client may take to send its request, and its headers.
    drain_seconds
        How long after SIGTERM new requests are still answered while the service says that it is not ready.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    model: Path | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    token: SecretStr | None = None
    no_token: bool = False
    corrections: bool = False
    corrections_file: Path = Path("runs/corrections.sqlite")
    log_json: bool = False
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    allow_origin: str = ""
    allow_host: str = ""
    body_bytes: Count = 5 * MEGABYTE
    pixels: Count = 25 * MEGAPIXEL
    images: Count = 1024
    in_flight: Count = 64
    connections: Count = 1000
    request_seconds: Seconds = 5
    body_seconds: Seconds = 20
    header_seconds: Seconds = 5
    drain_seconds: Annotated[float, Field(ge=0, le=60)] = 0.5

    @field_validator("token")
    @classmethod
    def _token_can_be_sent(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not (token.get_secret_value().isascii() and _is_word(token)):
            raise ValueError("expected a word of ASCII characters without spaces")
        return token

    @field_validator("host")
    @classmethod
    def _host_is_named(cls, host: str) -> str:
        if not host.strip():
            raise ValueError(
                "expected a name or an address, such as 127.0.0.1; 0.0.0.0 is all of this machine's"
            )
        return host

    @field_validator("allow_origin")
    @classmethod
    def _origins_can_be_sent(cls, origins: str) -> str:
        for origin in by_commas(origins):
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(f"expected origins such as https://example.org, or *, got {origin!r}")
        return origins

    @model_validator(mode="after")
    def _strangers_need_a_token(self) -> Settings:
        if self.token is None and not self.no_token and not is_loopback(self.host):
            raise ValueError(
                f"{self.host} can be reached from other machines: "
                "give --token, or --no-token if everybody may ask"
            )
        return self

    @property
    def hosts(self) -> frozenset[str] | None:
        """The names by which this service may be asked; None: by any."""
        if self.token is not None or not is_loopback(self.host):
            return None
        return frozenset(each.lower() for each in (self.host, "localhost", *by_commas(self.allow_host)))


def by_commas(values: str) -> list[str]:
    """Return what stands between the commas of a setting."""
    return [value for each in values.split(",") if (value := each.strip())]


def make_settings(**given: Any) -> Settings:
    """Return the settings: what is given and not None counts, else the environment, else the default.

    Raises
    ------
    DigitsError
        A value is of the wrong kind or out of range.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        sentence = first["msg"].removeprefix("Value error, ")
        name = ".".join(map(str, first["loc"]))
        flag = name.replace("_", "-")
        place = f"--{flag} or {PREFIX}{name.upper()}: " if name else ""
        raise DigitsError(place + sentence[:1].lower() + sentence[1:]) from error


def _is_word(token: SecretStr) -> bool:
    value = token.get_secret_value()
    return value.isprintable() and value.split() == [value]


def is_loopback(host: str) -> bool:
    """Return whether a name or an address is this machine's own, which others cannot reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
