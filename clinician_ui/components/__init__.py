"""Components of our own, with HTML, CSS and JavaScript in files beside them; no build step."""
