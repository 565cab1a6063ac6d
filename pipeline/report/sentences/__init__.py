"""Every sentence that a reader sees about a number, one file a section."""
