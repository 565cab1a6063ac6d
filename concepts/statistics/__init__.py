"""Estimates, intervals, resampling and agreement."""
