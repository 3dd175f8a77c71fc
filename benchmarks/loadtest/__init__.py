"""Load on a real server: an invented catalogue, clients, processes, and what their answers must be."""
