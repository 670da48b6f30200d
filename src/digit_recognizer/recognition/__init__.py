"""Recognise digits with ONNX Runtime, without torch."""

from digit_recognizer.recognition.recognizer import THRESHOLD, Recognizer

__all__ = ["THRESHOLD", "Recognizer"]
