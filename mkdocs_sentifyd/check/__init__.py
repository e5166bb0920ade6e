"""A built site and its token endpoint, compared with the configuration."""
