"""Samples, splits, transforms, loaders, and the generated cohort."""
