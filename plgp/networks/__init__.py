"""The networks: pure torch modules with three logit heads."""
