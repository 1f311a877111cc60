"""Data sets: recipe, generation, checks, figures, exchange."""
