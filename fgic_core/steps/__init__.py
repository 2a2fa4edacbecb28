"""How the core drives each interface and measures it: one file per kind, and the ruler they share."""
