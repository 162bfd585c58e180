"""Whole-slide images: opening, reading, tissue and annotations; no torch, no Qt."""
