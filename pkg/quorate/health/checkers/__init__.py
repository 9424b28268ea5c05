"""The shipped checkers, one file for each kind of target."""
