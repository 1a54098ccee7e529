"""The batches: each a short file that reads top to bottom as the data flows."""
