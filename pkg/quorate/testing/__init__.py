"""For tests of what is built on Quorate: time, facts, faults, histories, verdicts.

Nothing in the library itself uses this package.
"""
