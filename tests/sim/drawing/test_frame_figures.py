import re

from sim.drawing.frame_figures import draw_frames, draw_rays


def test_the_pinhole_rays_miss_the_gap_that_the_parallel_rays_see():
    counts = [int(re.search(r"(\d+) rays reach", ax.get_title())[1]) for ax in draw_rays().axes]
    assert counts[0] == 0
    assert counts[1] > 0
    wide = [int(re.search(r"(\d+) rays reach", ax.get_title())[1]) for ax in draw_rays(gap=0.12).axes]
    assert 0 < wide[0] < wide[1]  # a wide gap is seen by both, in part only by the pinhole


def test_a_growing_angle_turns_the_drawn_closing_direction_counter_clockwise():
    rises = []
    for degrees in (10.0, 60.0):
        (arrow,) = [a for a in draw_frames(degrees).axes[0].texts if a.get_text() == "" and a.xyann == (84.0, 62.0)][:1]
        rises.append(arrow.xyann[1] - arrow.xy[1])  # rows grow downwards: up is a smaller row
    assert 0 < rises[0] < rises[1]
