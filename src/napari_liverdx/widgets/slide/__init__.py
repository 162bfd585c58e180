"""Opening slides, what is known of one, and what a person chooses of its file."""
