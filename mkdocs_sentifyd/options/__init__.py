"""The options under `plugins: - sentifyd:` in mkdocs.yml."""
