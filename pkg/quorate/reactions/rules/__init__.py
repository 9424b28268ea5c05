"""The rules, one theme a file. Each is a pure function of the view and the time."""
