"""What a page gets: the loader, the element, and the browser runtime."""
