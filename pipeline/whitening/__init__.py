"""Concept whitening: a layer that decorrelates the latent space and turns its axes onto named concepts."""
