"""What the format `openslide` is made of."""
