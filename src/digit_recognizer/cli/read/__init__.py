"""`digits read`: its options, the pages to read, and what is written."""

from __future__ import annotations

from digit_recognizer.cli.read.command import read

__all__ = ["read"]
