"""Networks: built from a recipe, combined into a predictor, summarised, and written as ONNX."""
