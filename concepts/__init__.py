"""What clinicians decided: concepts, judgements, releases. Torch-free; knows nothing of networks."""
