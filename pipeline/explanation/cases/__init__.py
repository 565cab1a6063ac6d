"""Single cases: what the network made of one image, and how far each part of it can be trusted."""
