"""What each kernel of an artifact is made of, and how fast it runs."""
