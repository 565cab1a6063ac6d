"""What the network used: importance, per case and per diagnosis."""
