"""Training data, one layout per file."""
