"""Parts of the batch dock."""
