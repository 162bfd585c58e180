"""Generic parts of docks and pages."""
