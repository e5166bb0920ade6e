"""Issues grants to visitors: the policies, and the avatars that use them."""
