"""Serving an ASGI application safely on the open internet."""
