"""Versioned values and who hears of them."""
