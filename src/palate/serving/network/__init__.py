"""The server's network side: sockets, connections and their limits, processes."""
