"""Figures of merit and their uncertainty."""
