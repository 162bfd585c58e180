"""Text that people and programs left in files: compressed or not, of any encoding."""
