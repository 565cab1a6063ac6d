"""Generated lesions whose concepts were planted, so that every answer is known."""
