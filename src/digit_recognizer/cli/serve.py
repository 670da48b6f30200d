"""`digits serve`: the page and the HTTP interface."""

from __future__ import annotations

from typing import Annotated

import typer

from digit_recognizer.cli.options import CORRECTIONS, CorrectionsFile, ModelOption, refuse
from digit_recognizer.cli.terminal import exit_on_interrupt

ACCESS, LIMITS = "Access", "Limits"  # titles of groups of options


def serve(
    model: ModelOption = None,
    host: Annotated[
        str | None, typer.Option(help=r"The address to listen on.  \[default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help=r"The port to listen on; 0 chooses a free one.  \[default: 8000]")
    ] = None,
    workers: Annotated[int | None, typer.Option(help=r"The number of processes.  \[default: 1]")] = None,
    log_json: Annotated[
        bool | None, typer.Option("--log-json", help="Write a line for each request to standard error.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="Require the header 'Authorization: Bearer TOKEN'. DIGITS_TOKEN keeps it out of 'ps'.",
            rich_help_panel=ACCESS,
        ),
    ] = None,
    no_token: Annotated[
        bool | None,
        typer.Option("--no-token", help="Answer other machines without a token.", rich_help_panel=ACCESS),
    ] = None,
    allow_origin: Annotated[
        str | None,
        typer.Option(
            metavar="ORIGINS",
            help="Allow pages of these origins to send requests (CORS), separated by commas.",
            rich_help_panel=ACCESS,
        ),
    ] = None,
    allow_host: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Further names of this machine to accept in requests, separated by commas.",
            rich_help_panel=ACCESS,
        ),
    ] = None,
    corrections: Annotated[
        bool | None,
        typer.Option(
            "--corrections", help="Store the corrections made on the page.", rich_help_panel=CORRECTIONS
        ),
    ] = None,
    corrections_file: CorrectionsFile = None,
    body_bytes: Annotated[
        int | None,
        typer.Option(help=r"The largest request.  \[default: 5000000]", rich_help_panel=LIMITS),
    ] = None,
    pixels: Annotated[
        int | None,
        typer.Option(help=r"The largest picture.  \[default: 25000000]", rich_help_panel=LIMITS),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            help=r"The largest number of 28x28 images in a request.  \[default: 1024]", rich_help_panel=LIMITS
        ),
    ] = None,
    in_flight: Annotated[
        int | None,
        typer.Option(
            help=r"The largest number of requests in progress; more get status 503.  \[default: 64]",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    connections: Annotated[
        int | None,
        typer.Option(
            help=r"The largest number of open connections.  \[default: 1000]", rich_help_panel=LIMITS
        ),
    ] = None,
    request_seconds: Annotated[
        float | None,
        typer.Option(help=r"The time to answer a request.  \[default: 5]", rich_help_panel=LIMITS),
    ] = None,
    body_seconds: Annotated[
        float | None,
        typer.Option(
            help=r"The time for a client to send a request.  \[default: 20]", rich_help_panel=LIMITS
        ),
    ] = None,
    header_seconds: Annotated[
        float | None,
        typer.Option(help=r"The time for a client to send headers.  \[default: 5]", rich_help_panel=LIMITS),
    ] = None,
    drain_seconds: Annotated[
        float | None,
        typer.Option(
            help=r"The time to answer requests after SIGTERM, while not ready.  \[default: 0.5]",
            rich_help_panel=LIMITS,
        ),
    ] = None,
) -> None:
    """Serve the page and the HTTP interface, by default to this machine only.

    Each option has an environment variable, such as DIGITS_PORT for --port.
    """
    given = dict(locals())  # the options are the fields of Settings
    with exit_on_interrupt():  # until the service handles signals
        import pydantic_settings  # noqa: F401  # only the extra `serve` installs it: if missing, the error names it

        from digit_recognizer.service import make_settings
        from digit_recognizer.service import serve as serve_until_stopped

        settings = make_settings(**given)
        refuse((corrections_file and not settings.corrections, "--corrections-file requires --corrections"))
        serve_until_stopped(settings, _announce)


def _announce(address: str) -> None:
    print(f"Serving on {address} (Ctrl+C ends it)", flush=True)
