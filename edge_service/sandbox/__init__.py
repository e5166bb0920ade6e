"""A local stand-in for Sentifyd, for demos, previews and tests. It sends nothing elsewhere."""
