"""The sign-in form: name and password go to the server and never into a screen's state."""
