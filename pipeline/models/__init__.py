"""Networks by name, their weights, and how a trained one is stored."""
