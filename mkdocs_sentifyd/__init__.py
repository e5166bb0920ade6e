"""A MkDocs plugin that puts a Sentifyd avatar on the pages of a site."""
