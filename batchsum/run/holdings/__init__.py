"""What a user holds: data reports that were downloaded, counted with a job's filters."""
