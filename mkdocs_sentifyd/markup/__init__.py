"""Where tags are in a page's HTML, and where the plugin's own tags go."""
