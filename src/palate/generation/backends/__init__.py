"""What text, pictures and clips are made with: each backend is one file."""
