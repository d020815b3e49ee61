"""The HTTP API: endpoints, bodies, access control and errors."""
