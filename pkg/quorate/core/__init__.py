"""Words and time: what every room speaks. Imports the standard library only."""
