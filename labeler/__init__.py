"""PDG-Generation: from a SceneView to grasp labels, and from scenes to HDF5 data sets."""
