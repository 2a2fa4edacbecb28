"""The sections of the report: one file for each type of artifact, and what they share."""
