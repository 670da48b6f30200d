"""Boxes of a page that was reduced, in pixels of the picture that it was made from."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from digit_recognizer.reading import Box, Reading

Value = TypeVar("Value")


def scale_boxes(value: Value, scale: tuple[float, float]) -> Value:
    """Return a reading, or any part of one, with every box stretched by `scale`, across and down.

    The page of a reading that is turned by 90 or 270 degrees is stretched the other way round.
    """
    if scale == (1.0, 1.0):
        return value
    if isinstance(value, Reading) and value.rotation % 180:
        scale = scale[::-1]
    scaled: Value = _scale(value, scale)
    return replace(scaled, page_scale=scale) if isinstance(scaled, Reading) else scaled


def _scale(value: Any, scale: tuple[float, float]) -> Any:
    if isinstance(value, Box):
        return value.scaled(*scale)
    if isinstance(value, tuple):
        return tuple(_scale(each, scale) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{each.name: _scale(getattr(value, each.name), scale) for each in fields(value)}
        )
    return value
