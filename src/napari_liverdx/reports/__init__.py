"""Results as HTML, PDF and CSV for people."""
