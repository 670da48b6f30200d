"""Where many pieces of work run: in this process, or on the machines of a Ray cluster."""

from digit_recognizer.engines.engine import Engine, InProcess, check_shared, completed

__all__ = ["Engine", "InProcess", "check_shared", "completed"]
