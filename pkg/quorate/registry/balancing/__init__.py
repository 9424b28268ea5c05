"""Which instance gets the next call: decisions only, no waiting."""
