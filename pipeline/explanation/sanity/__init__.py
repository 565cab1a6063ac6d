"""What is left of an explanation where weights or labels are random."""
