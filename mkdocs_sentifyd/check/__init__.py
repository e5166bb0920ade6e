"""Compare a built site and its token endpoint with the configuration."""
