"""Quorate: processes agree on who is there, who may act, and what is to be done."""
