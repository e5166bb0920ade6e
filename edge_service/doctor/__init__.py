"""`sentifyd-edge doctor`: tries what a login needs, and reports what is wrong."""
