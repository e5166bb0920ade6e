"""Serves an ASGI application safely on the internet."""
