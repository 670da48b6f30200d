"""Networks: building them from a recipe, predicting, summarising, and exporting to ONNX. Needs torch."""
