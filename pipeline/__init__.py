"""Pixels to model to evaluation to explanation to report."""
