"""Write the pages of a built site as documents that an avatar can be trained with."""
