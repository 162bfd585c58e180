"""Architectures, model files, calibration."""
