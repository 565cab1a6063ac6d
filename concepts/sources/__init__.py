"""Where concept examples come from: one module a data set."""
