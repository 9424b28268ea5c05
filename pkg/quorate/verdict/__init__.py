"""From single results to a verdict: healthy or not, and since when."""
