"""`digits serve`: brings flags and environment together, and says where it listens."""

from __future__ import annotations

from typing import Annotated

import typer

from digit_recognizer.cli import leaving_at_once
from digit_recognizer.cli.options import CorrectionsFile, NamedModel
from digit_recognizer.errors import DigitsError


def serve(
    model: NamedModel = None,
    host: Annotated[str | None, typer.Option(help=r"Where to listen.  \[default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help=r"Likewise; 0 takes a free one.  \[default: 8000]")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="Answer only who sends it: Authorization: Bearer TOKEN. DIGITS_TOKEN hides it from 'ps'."
        ),
    ] = None,
    no_token: Annotated[
        bool | None, typer.Option("--no-token", help="Answer other machines without one.")
    ] = None,
    corrections: Annotated[
        bool | None, typer.Option("--corrections", help="Keep what users of the page correct.")
    ] = None,
    corrections_file: CorrectionsFile = None,
    log_json: Annotated[
        bool | None, typer.Option("--log-json", help="Write a line about each request to standard error.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help=r"Processes.  \[default: 1]")] = None,
    allow_origin: Annotated[
        str | None, typer.Option(metavar="ORIGINS", help="Let other hosts' pages ask (CORS), by commas.")
    ] = None,
    allow_host: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Other names of this machine that it may be asked by, by commas."),
    ] = None,
    body_bytes: Annotated[int | None, typer.Option(help=r"The largest request.  \[default: 5000000]")] = None,
    pixels: Annotated[int | None, typer.Option(help=r"The largest picture.  \[default: 25000000]")] = None,
    images: Annotated[
        int | None, typer.Option(help=r"The most 28x28 images in a request.  \[default: 1024]")
    ] = None,
    in_flight: Annotated[
        int | None, typer.Option(help=r"Requests worked on at a time; others get 503.  \[default: 64]")
    ] = None,
    connections: Annotated[int | None, typer.Option(help=r"Open connections.  \[default: 1000]")] = None,
    request_seconds: Annotated[
        float | None, typer.Option(help=r"How long an answer may take.  \[default: 5]")
    ] = None,
    body_seconds: Annotated[
        float | None, typer.Option(help=r"How long a client may send its request.  \[default: 20]")
    ] = None,
    header_seconds: Annotated[
        float | None, typer.Option(help=r"How long it may send its headers.  \[default: 5]")
    ] = None,
    drain_seconds: Annotated[
        float | None,
        typer.Option(help=r"How long to serve on after SIGTERM, not ready any more.  \[default: 0.5]"),
    ] = None,
) -> None:
    """Serve the page and the HTTP interface, on this machine only unless told otherwise.

    Each option may also be set by an environment variable: DIGITS_PORT for --port.
    """
    given = dict(locals())
    with leaving_at_once():  # until the service handles signals
        import pydantic_settings  # noqa: F401  # the first that is missing without the extra, and only then

        from digit_recognizer.service import make_settings
        from digit_recognizer.service import serve as serve_until_told

        settings = make_settings(**given)
        if corrections_file is not None and not settings.corrections:
            raise DigitsError("--corrections-file is for --corrections: give both")
        serve_until_told(settings, _announce)


def _announce(address: str) -> None:
    print(f"Serving on {address} (Ctrl+C ends it)", flush=True)
