"""A run in use: retrieval index, event store, HTTP API, web page."""
