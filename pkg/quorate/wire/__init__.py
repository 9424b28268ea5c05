"""The wires to the servers: connecting, calling scripts, hearing messages."""
