"""Are the labels true? Labels and random grasps, executed in physics."""
