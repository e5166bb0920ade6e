"""Whether a request may ask for tokens: its origin, address, identity and rate."""
