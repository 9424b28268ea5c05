"""The queue on a Redis or Valkey server."""
