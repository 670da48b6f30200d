"""`digits serve`: the page and the HTTP interface."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from digit_recognizer.cli.interrupts import exit_on_interrupt
from digit_recognizer.cli.options import CorrectionsFile, ModelOption, corrections_option, real, refuse, whole

_access_option = partial(typer.Option, rich_help_panel="Access")


def _limit(help_: str, default: int) -> Any:
    return _option(help_, default, parser=whole(1), metavar="N")


def _seconds(help_: str, default: float) -> Any:
    return _option(help_, default, parser=real(0, 3600), metavar="X")


def _option(help_: str, default: float, **reading: Any) -> Any:
    return typer.Option(help=rf"{help_}  \[default: {default}]", rich_help_panel="Limits", **reading)


def serve(
    model: ModelOption = None,
    host: Annotated[
        str | None, typer.Option(help=r"The address to listen on.  \[default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            parser=whole(0, 65535),
            metavar="N",
            help=r"The port to listen on; 0 chooses a free one.  \[default: 8000]",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(parser=whole(1, 64), metavar="N", help=r"The number of processes.  \[default: 1]"),
    ] = None,
    root_path: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The path below which a reverse proxy serves the page and the interface, such as /digits.",
        ),
    ] = None,
    log_json: Annotated[
        bool | None, typer.Option("--log-json", help="Write a line for each request to standard error.")
    ] = None,
    token: Annotated[
        str | None,
        _access_option(
            help="Require the header 'Authorization: Bearer TOKEN'. DIGITS_TOKEN keeps it out of 'ps'."
        ),
    ] = None,
    no_token: Annotated[
        bool | None, _access_option("--no-token", help="Answer other machines without a token.")
    ] = None,
    allow_origin: Annotated[
        str | None,
        _access_option(
            metavar="ORIGINS",
            help="Allow pages of these origins to send requests (CORS), separated by commas.",
        ),
    ] = None,
    allow_host: Annotated[
        str | None,
        _access_option(
            metavar="NAMES",
            help="Further names of this machine to accept in requests, separated by commas.",
        ),
    ] = None,
    corrections: Annotated[
        bool | None, corrections_option("--corrections", help="Store the corrections made on the page.")
    ] = None,
    corrections_file: CorrectionsFile = None,
    body_bytes: Annotated[int | None, _limit("The largest request.", 20_000_000)] = None,
    pixels: Annotated[int | None, _limit("The largest picture.", 150_000_000)] = None,
    images: Annotated[int | None, _limit("The most 28x28 images in a request.", 1024)] = None,
    in_flight: Annotated[
        int | None, _limit("The most requests in progress; more get status 503.", 64)
    ] = None,
    connections: Annotated[int | None, _limit("The most open connections.", 1000)] = None,
    request_seconds: Annotated[float | None, _seconds("The time to answer a request.", 5)] = None,
    body_seconds: Annotated[float | None, _seconds("The time for a client to send a request.", 20)] = None,
    header_seconds: Annotated[float | None, _seconds("The time for a client to send headers.", 5)] = None,
    drain_seconds: Annotated[
        float | None, _seconds("The time to answer requests after SIGTERM, while not ready.", 0.5)
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


def export_page(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder to write; it must not exist, or be empty.")
    ],
    model: ModelOption = None,
    runtime: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The npm package of ONNX Runtime Web.  \\[default: download it once with npm, and keep it]",
        ),
    ] = None,
) -> None:
    """Write the page as static files that read in the browser, without a service."""
    from digit_recognizer.service.export.page import export_page as write_page

    size = write_page(out, model, runtime)
    print(f"Wrote the page to {out}: {size / 1e6:.1f} MB.")
    print(f"To look at it: python -m http.server --directory {out}")
