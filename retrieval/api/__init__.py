"""HTTP: OpenAI's wire contract over our own types."""
