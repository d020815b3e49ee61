"""Views of the page, one file each; ``register(router)`` adds their routes."""
