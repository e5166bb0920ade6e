"""A local stand-in for Sentifyd, for demos, previews and tests. It never leaves this machine."""
