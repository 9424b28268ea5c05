"""Calls that fail: when to try again, and when to leave it."""
