"""`discover doctor`: what this host can do, found by trying it, and what is missing."""
