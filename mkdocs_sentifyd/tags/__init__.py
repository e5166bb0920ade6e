"""The tags of a page: the loader, the element, and the browser runtime."""
