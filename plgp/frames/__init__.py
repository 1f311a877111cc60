"""A camera's frames as ``plgp.predict`` takes them: which files, what is written of them, how many grasps fit."""
