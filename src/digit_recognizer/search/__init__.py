"""Search of a recipe's settings with Optuna."""
