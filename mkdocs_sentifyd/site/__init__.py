"""Choose the avatar of each page, and work on a site that is already built."""
