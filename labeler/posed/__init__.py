"""Data sets of real pictures with object meshes and 6-D poses: BOP's format in and out, GraspNet's in."""
