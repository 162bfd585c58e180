"""Finding leakage and short-cuts in training data."""
