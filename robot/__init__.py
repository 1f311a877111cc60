"""A grasp policy on a real (or simulated) arm; for now only the protocol of sim.benchmark."""
