"""Draw matplotlib figures from plain arrays; nothing here knows a model or writes a file."""

from digit_recognizer.report.figures.curves import draw_compared_curves, draw_curves
from digit_recognizer.report.figures.data import draw_augmentation, draw_counts, draw_examples
from digit_recognizer.report.figures.inside import (
    draw_feature_maps,
    draw_filter,
    draw_filters,
    draw_map,
    draw_saliency,
    draw_slices,
    draw_strongest_images,
)
from digit_recognizer.report.figures.mistakes import (
    draw_confident_errors,
    draw_confusion_counts,
    draw_confusion_rates,
    draw_corrections,
    draw_disagreements,
    draw_error_rates,
    draw_rejection,
    draw_reliability,
    draw_sample,
)
from digit_recognizer.report.figures.network import draw_network
from digit_recognizer.report.figures.numbers import draw_misread_numbers
from digit_recognizer.report.figures.style import as_png, as_svg, mosaic

__all__ = [
    "as_png",
    "as_svg",
    "draw_augmentation",
    "draw_compared_curves",
    "draw_confident_errors",
    "draw_confusion_counts",
    "draw_confusion_rates",
    "draw_corrections",
    "draw_counts",
    "draw_curves",
    "draw_disagreements",
    "draw_error_rates",
    "draw_examples",
    "draw_feature_maps",
    "draw_filter",
    "draw_filters",
    "draw_map",
    "draw_misread_numbers",
    "draw_network",
    "draw_rejection",
    "draw_reliability",
    "draw_saliency",
    "draw_sample",
    "draw_slices",
    "draw_strongest_images",
    "mosaic",
]
