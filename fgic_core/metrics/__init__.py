"""Arithmetic that knows no step and no context: average precision, distances between features, intervals."""
