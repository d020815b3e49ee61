"""Parts of several generators."""
