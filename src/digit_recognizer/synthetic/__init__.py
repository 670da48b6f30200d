"""Composed training images: non-digits, lines of digits, and segments cut from such lines. Needs no torch."""
