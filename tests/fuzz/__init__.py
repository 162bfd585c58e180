"""Bad bytes: seeded damage to every kind of file that the program reads, and what comes of it."""
