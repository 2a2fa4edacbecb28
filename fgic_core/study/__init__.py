"""What the runs of a study show: their numbers and pictures, effects, verdicts, and what could be shown at all."""
