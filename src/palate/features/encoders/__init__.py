"""One encoder a file: raw text, image, audio, video or attributes to vectors."""
