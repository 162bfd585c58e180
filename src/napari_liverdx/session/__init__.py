"""The state of one viewer's analysis and the run that changes it; no napari, no Qt."""
