"""Synthetic training images: non-digits, text lines, and segments of such lines; needs no torch."""
