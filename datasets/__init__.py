"""Small real recordings, and what makes them."""
