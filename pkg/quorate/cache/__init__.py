"""What was looked up before."""
