"""Methods of others, as grasp policies."""
