"""The other pages of the dock."""
