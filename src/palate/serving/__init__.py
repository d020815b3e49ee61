"""A run in use: recommender service, event store, retrieval index, HTTP API and web page."""
