"""What `digits serve` does: brings flags and environment together, and says where it listens."""

from __future__ import annotations

from typing import Any

__all__ = ["serve_requests"]


def serve_requests(**flags: Any) -> None:
    """Serve until SIGTERM or Ctrl+C; flags that are None are left to the environment."""
    import pydantic_settings  # noqa: F401  # the first that is missing without the extra, and only then

    from digit_recognizer.serving import make_settings, serve

    settings = make_settings(**flags)
    serve(settings, lambda address: print(f"Serving on {address} (Ctrl+C ends it)", flush=True))
