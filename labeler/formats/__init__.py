"""Formats of others: the authors' files, rectangles."""
