"""The two batching libraries behind one protocol; each is imported only by its own file."""
