"""PDG-Generation (section III-D): the parallel depth image as a relief, and the checks on it."""
