"""Learning a tile model."""
