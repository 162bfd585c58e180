"""The stored result of a run, and what is known of it."""
