"""The sections of a report: each module computes the blocks of one section."""

from digit_recognizer.report.sections.comparison import compare
from digit_recognizer.report.sections.corrections import show_corrections
from digit_recognizer.report.sections.data import show_data
from digit_recognizer.report.sections.inside import Choice, map_hidden_layer, open_inside, show_inside
from digit_recognizer.report.sections.mistakes import show_mistakes
from digit_recognizer.report.sections.network import show_network
from digit_recognizer.report.sections.result import show_result
from digit_recognizer.report.sections.training import show_training

__all__ = [
    "Choice",
    "compare",
    "map_hidden_layer",
    "open_inside",
    "show_corrections",
    "show_data",
    "show_inside",
    "show_mistakes",
    "show_network",
    "show_result",
    "show_training",
]
