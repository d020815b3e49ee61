"""One reader a file for each public layout, recognised by content."""
