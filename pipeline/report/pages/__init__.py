"""The pages of a report: HTML, PDF, CSV, charts, checklists."""
