"""What came of a run: tables, failures, reports."""
