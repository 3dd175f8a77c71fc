"""M2GRL, the heart: read `model` first, then `cpu`."""
