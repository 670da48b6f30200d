"""All that can be set about the service: by a flag of ``digits serve``, or by an environment variable."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from digit_recognizer.errors import DigitsError

__all__ = ["PREFIX", "Settings", "make_settings"]

PREFIX = "DIGITS_"  # begins the names of environment variables: DIGITS_PORT
MEGABYTE = 1_000_000  # bytes
MEGAPIXEL = 1_000_000  # pixels

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

    @model_validator(mode="after")
    def _strangers_need_a_token(self) -> Settings:
        if self.token is None and not self.no_token and not _is_loopback(self.host):
            raise ValueError(
                f"{self.host} can be reached from other machines: "
                "give --token, or --no-token if everybody may ask"
            )
        return self


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


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
