"""Small models that the book trains once, and that chapters start from."""
