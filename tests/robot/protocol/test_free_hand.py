"""The arm's cost is a difference in the same scenes."""

from robot.protocol.free_hand import arm_cost


def scene(size, number, ends):
    """A finished scene whose attempts end with 1 (success), 0 (missed), or a reason."""
    attempts = [
        {
            "success": end == 1,
            "reason": {0: "missed", 1: ""}.get(end, end),
            "unreachable": {"collision": 50} if end == "unreachable" else {"reach": 2} if end == 0 else {},
        }
        for end in ends
    ]
    return {"size": size, "number": number, "attempts": attempts}


def free(size, number, successes, attempts):
    return {"size": size, "number": number, "successes": successes, "attempts": attempts}


def test_pairs_count_and_others_are_left_out():
    arm = [scene(5, 0, [1, 1, 0]), scene(5, 1, [1, 1, 1]), scene(5, 9, [0]), scene(10, 0, [0])]
    said = arm_cost(arm, [free(5, 0, 3, 3), free(5, 1, 3, 3), free(5, 7, 0, 9)])
    assert sum("scenes: SR" in text for text in said) == 1
    assert said[0].startswith("5 objects, 2 scenes: SR 83.33 % with the arm, 100.00 % of the free hand")
    assert "difference -16.67 points (-33.3 to +0.0)" in said[0]


def test_every_loss_of_the_arm_is_named():
    arm = [scene(5, 0, [1, 0, "unreachable", "stopped", "dropped"]), scene(5, 1, [1, "beside", "no picture", 1, 1])]
    exact = [scene(5, 0, [1, 1, 1, 1, 0])]
    said = "\n".join(arm_cost(arm, [free(5, 0, 5, 5), free(5, 1, 5, 5)], exact))
    assert "SR 40.00 % with the arm, 100.00 % of the free hand, difference -60.00 points" in said
    assert "unreachable: 1 of 10 attempts had no grasp that the arm reaches; 1 took a later one (1 of them" in said
    assert "given up: 2 out of reach, 50 in collision" in said
    assert "timing and limits: 1 stopped on the way, 1 without a picture in time" in said
    assert "carrying: 1 dropped on the way, 1 beside the receptacle" in said
    assert "grasping, as the free hand may lose too: 1 missed, 0 slipped, 0 without a grasp" in said
    assert "calibration: SR 80.00 % with a camera that is where the arm believes it to be, difference -60.00" in said
