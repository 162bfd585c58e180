"""Layers and their relation to slides and results."""
