"""Retrain-and-report jobs that run out of process: asked for by a screen, done by workers, kept in one database."""
