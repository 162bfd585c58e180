"""The version of the program, for every layer."""

__version__ = "0.1.0"
