"""The tool in the browser: screens in which clinicians curate concept sets and reviewers read cases."""
