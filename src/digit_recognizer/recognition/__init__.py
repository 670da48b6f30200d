"""Digits ► predictions, with ONNX Runtime and without torch."""

from digit_recognizer.recognition.recognizer import THRESHOLD, Recognizer

__all__ = ["THRESHOLD", "Recognizer"]
