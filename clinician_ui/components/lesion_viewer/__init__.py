"""A lesion as large as the screen allows: zoom, regions, verdicts by key."""
