"""Who is there, how they are, and whom to call."""
