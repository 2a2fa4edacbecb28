"""What lies in the store: artifacts by key, what they hold, runs' records, and digests remembered by stat."""
