"""What is measured in an image and its lesion mask, without a network."""
