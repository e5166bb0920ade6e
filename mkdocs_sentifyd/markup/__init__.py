"""Find tags in a page's HTML, and insert the plugin's own tags."""
