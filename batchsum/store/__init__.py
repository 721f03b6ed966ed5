"""state.sqlite3: answers as they come, the run they belong to, and the nights before."""
