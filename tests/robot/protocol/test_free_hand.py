"""The arm's cost is a difference in the same scenes."""

from robot.protocol.free_hand import arm_cost


def scene(size, number, ends):
    return {"size": size, "number": number, "attempts": [{"success": bool(e)} for e in ends]}


def free(size, number, successes, attempts):
    return {"size": size, "number": number, "successes": successes, "attempts": attempts}


def test_pairs_count_and_others_are_left_out():
    arm = [scene(5, 0, [1, 1, 0]), scene(5, 1, [1, 1, 1]), scene(5, 9, [0]), scene(10, 0, [0])]
    said = arm_cost(arm, [free(5, 0, 3, 3), free(5, 1, 3, 3), free(5, 7, 0, 9)])
    assert len(said) == 1
    assert said[0].startswith("5 objects, 2 scenes: SR 83.33 % with the arm, 100.00 % of the free hand")
    assert "difference -16.67 points (-33.3 to +0.0)" in said[0]
