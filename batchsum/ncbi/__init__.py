"""All talk with NCBI: one GET, its pace, its retries, what its answers mean, and its taxonomy."""
