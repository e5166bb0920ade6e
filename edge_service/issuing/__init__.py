"""Which grant a visitor gets: the issuing policies and the avatars that use them."""
