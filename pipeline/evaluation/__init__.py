"""Figures about a trained network, each with an interval and an n."""
