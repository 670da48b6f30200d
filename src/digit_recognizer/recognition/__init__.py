"""Digits ► predictions, with ONNX Runtime and without torch."""

from digit_recognizer.recognition.recognizer import Recognizer

__all__ = ["Recognizer"]
