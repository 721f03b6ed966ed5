"""What a night leaves for readers: the table, the changes and the page, each file replaced atomically."""
