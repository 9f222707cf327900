"""What is asked of the tables, as functions over a session. They never commit: the caller's block does."""
