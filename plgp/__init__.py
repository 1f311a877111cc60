"""Learning: targets, transforms, networks, losses, training, policies."""
