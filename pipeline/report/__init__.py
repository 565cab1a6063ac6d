"""The report: content first, renderings after."""
