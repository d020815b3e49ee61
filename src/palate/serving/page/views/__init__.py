"""Views, a file for each group; ``put(router)`` adds a group's routes."""
