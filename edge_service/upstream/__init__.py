"""How a grant is fetched from Sentifyd: its JSON, the HTTP client and the circuit breaker."""
