"""A token endpoint for Sentifyd avatars: trades the secret API key for short-lived tokens."""
