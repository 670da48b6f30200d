"""Reports: runs and digits become figures and a page."""

from __future__ import annotations

from digit_recognizer.report.report import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]
