"""Small files in the formats of slide scanners, as OpenSlide accepts them."""
