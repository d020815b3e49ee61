"""The HTTP API: what may be asked, who may ask, and how it is answered."""
