"""What the user wrote: job files and lists read, every problem told at its line, names locked."""
