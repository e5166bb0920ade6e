"""Logins at Sentifyd: its JSON, the HTTP client and the circuit breaker."""
