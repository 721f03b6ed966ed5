"""One night on several machines: each asks its share, and one of them makes the table."""
