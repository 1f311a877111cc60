"""What fails and why: causes by geometry, examples executed again, figures, and the page of both."""
