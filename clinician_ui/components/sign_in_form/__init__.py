"""Name and password, posted to the server and never part of a screen's state."""
