"""The HTTP service and the page: ``digits serve``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from digit_recognizer.service.app import create_app
    from digit_recognizer.service.server import serve
    from digit_recognizer.service.settings import Settings, make_settings

__all__ = ["Settings", "create_app", "make_settings", "serve"]

_MODULES = {"Settings": "settings", "create_app": "app", "make_settings": "settings", "serve": "server"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that wrong settings are reported without delay."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
