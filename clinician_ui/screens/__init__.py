"""Screens: what a signed-in person sees; they call `concepts.curation` and hold no rules of their own."""
