"""Reports: one HTML page about a run, or one that compares runs, and its figures as files."""

from __future__ import annotations

from digit_recognizer.report.page import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]
