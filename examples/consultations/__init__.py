"""A clinic's online consultations: the parts of the advanced integration example."""
