"""Reading, checking and downloading files."""
