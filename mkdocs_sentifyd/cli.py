"""`mkdocs-sentifyd`."""
