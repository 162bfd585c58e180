"""The slide-level model over tile embeddings."""
