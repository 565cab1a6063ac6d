"""Artefacts: which of them the network takes for signs of a diagnosis, and its repair."""
