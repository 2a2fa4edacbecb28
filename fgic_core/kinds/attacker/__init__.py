"""Attackers: the contract, how the core drives it, its ruler, its section of the report, its suite."""
