"""A run's folder, its progress, its random streams and its memory."""
