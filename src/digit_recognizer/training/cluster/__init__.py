"""Trainings as tasks of an engine: the folds of a cross-validation, and the members of an ensemble."""
