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
    if isinstance(value, Reading) and value.rotation % 180:
        scale = scale[::-1]
    return value if scale == (1.0, 1.0) else _scale(value, scale)


def _scale(value: Any, scale: tuple[float, float]) -> Any:
    if isinstance(value, Box):
        left, right = (round(each * scale[0]) for each in (value.x, value.right))
        top, bottom = (round(each * scale[1]) for each in (value.y, value.bottom))
        return Box(left, top, right - left, bottom - top)
    if isinstance(value, tuple):
        return tuple(_scale(each, scale) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{each.name: _scale(getattr(value, each.name), scale) for each in fields(value)}
        )
    return value
