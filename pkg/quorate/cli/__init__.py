"""The command `quorate`: the system as an operator sees it."""
