"""Geometry, resolution, tiles, tissue, classes and measurements; no torch, no Qt, no files."""
