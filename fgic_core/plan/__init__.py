"""From a spec to a graph of nodes with keys: what decides each, what is reused, and why not."""
