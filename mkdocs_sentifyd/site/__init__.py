"""Which page gets which avatar, and a site that is already built."""
