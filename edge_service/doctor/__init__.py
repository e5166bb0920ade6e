"""`sentifyd-edge doctor`: checks everything that a login needs, and reports problems."""
