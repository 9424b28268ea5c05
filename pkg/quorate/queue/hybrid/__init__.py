"""The queue that travels over RabbitMQ and keeps its state in a Redis."""
