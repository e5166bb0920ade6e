"""Decides whether a request may get tokens: origin, address, identity and rate limit."""
