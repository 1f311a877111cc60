"""What a depth image says: its slopes and edges, and how deep a hand stays free of it."""
