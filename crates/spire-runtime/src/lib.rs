//! What any long-running process needs: clock, randomness, supervisor, shutdown, backoff, health, logs, metrics.
