"""What is measured in a picture: sharpness, light, hair, rulers, colour patches."""
