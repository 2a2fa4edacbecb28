"""From a spec to artifacts: the store, jobs, the executor, and the record of a run."""
