"""What flows between steps: boxes, samples, data sets, models."""
