"""A claim that ends unless renewed: the one failure detector of the house."""
