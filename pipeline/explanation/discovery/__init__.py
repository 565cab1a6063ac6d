"""What the network uses that nobody named."""
