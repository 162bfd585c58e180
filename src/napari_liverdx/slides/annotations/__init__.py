"""Regions that people drew on slides, as other programs save them: one module for each form."""
