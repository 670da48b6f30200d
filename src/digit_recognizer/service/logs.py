"""What the service writes to standard error: mistakes, and with ``--log-json`` a line about each request."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from starlette.types import Scope

LONGEST = 200  # characters of a path
FIELDS = "request"  # attribute of a log record: what is said of a request

access = logging.getLogger(f"{__name__}.access")


class _Json(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"time": time, "level": record.levelname.lower(), **getattr(record, FIELDS, {})}
        if not hasattr(record, FIELDS):
            entry["message"] = record.getMessage()
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure(*, as_json: bool) -> None:
    """Write what goes wrong to standard error, and `as_json` also what is asked."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if as_json else logging.Formatter("digits: %(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # below are clients' mistakes
    access.setLevel(logging.INFO if as_json else logging.WARNING)


def log_request(scope: Scope, status: int, seconds: float, received: int, sent: int) -> None:
    """Write who asked for what, and what came of it; never what was in it, nor what stood behind a ``?``."""
    if not access.isEnabledFor(logging.INFO):
        return
    client = scope.get("client")
    fields = {
        "client": client[0] if client else None,
        "method": scope["method"],
        "path": scope["path"][:LONGEST],
        "status": status,
        "seconds": round(seconds, 6),
        "bytes_received": received,
        "bytes_sent": sent,
    }
    access.info("request", extra={FIELDS: fields})
