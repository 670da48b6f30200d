"""Write docs/reading.schema.json, the schema of `digits read --json`.

Run ``python docs/reading_schema.py`` after a change of ``service/reading_schemas.py``; a test compares both.
"""

from __future__ import annotations

import json
from pathlib import Path

from digit_recognizer.service.reading_schemas import reading_schema

OUTPUT = Path(__file__).with_name("reading.schema.json")


def schema_text() -> str:
    """Return the content of the file."""
    return json.dumps(reading_schema(), indent=2) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(schema_text(), "utf-8")
