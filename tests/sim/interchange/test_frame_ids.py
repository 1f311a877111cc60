"""Names of frames: a camera's, an arm's, and what stands beside a camera."""

import pytest

from sim.errors import InputError
from sim.interchange.frame_ids import names_a_camera, reference_of, stamped_inverse


@pytest.mark.parametrize(
    "name",
    ["camera_color_optical_frame", "zivid", "ensenso_link", "d435_link", "l515", "oak_frame", "zed2_left", "tof"],
)
def test_cameras_are_known_by_their_drivers_names(name):
    assert names_a_camera(name)
    assert reference_of(name, "file") == "camera"


@pytest.mark.parametrize("name", ["optical_table", "camera_mount", "base_link", "panda_link0", "tool0", "wrist_3_link"])
def test_what_a_camera_stands_on_is_none(name):
    assert not names_a_camera(name)
    with pytest.raises(InputError, match="'reference: camera' in the file"):
        reference_of(name, "file")


def test_only_the_pose_of_an_arms_frame_in_a_cameras_is_inverted():
    def message(parent, child):
        return {"header": {"frame_id": parent}, "child_frame_id": child, "transform": {}}

    assert "is inverted" in stamped_inverse(message("camera_color_optical_frame", "base_link"))
    for parent, child in (("optical_table", "zivid"), ("optical_table", "camera_link"), ("base_link", "d435_link")):
        assert stamped_inverse(message(parent, child)) == ""
    for child in ("marker_7", "camera_link"):
        with pytest.raises(InputError, match="give the camera's pose in the world"):
            stamped_inverse(message("camera_color_optical_frame", child))
