"""Many images at once: select with mouse or keys, assign one verdict to all."""
