"""Names of the files of a run."""

PLAIN = "plain"
"""Stem of the plain network's files, and name of its phase."""

AUXILIARY = "auxiliary"
"""Stem of the files of the network with a concept head, and name of its phase."""

MODEL = "model"
"""Stem of the whitened network's files."""
