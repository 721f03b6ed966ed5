"""The nouns: what is asked, what comes back, and what a job says. They know nothing of files, networks or stores."""
