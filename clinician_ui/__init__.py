"""Screens in which clinicians curate concept sets and reviewers read cases. No logic and no SQL live here."""
