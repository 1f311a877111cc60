"""What the commands of ``python -m robot`` print with ``--help``."""

from __future__ import annotations

USAGE = """\
python -m robot COMMAND ...: a grasp policy on an arm

  board FILE                       a page with the calibration board, .pdf or .png
  capture                          pictures of that board, with a real station's arm and camera
  calibrate DIR intrinsics=...     where the camera sits, from pictures of the board
  validate FILE DIR intrinsics=... how far a calibration is off, by touched corners
  check                            whether the arm reaches tray and view; moves nothing
  pick                             a few picks in the simulated cell, recorded and filmed
  table5                           the paper's Table V: 40 objects, 1, 5 and 10 at a time; resumable
  report DIR                       what finished scenes of table5 say, beside the paper's row
  replay DIR                       a recorded pick; with checkpoint=..., another network's grasps beside it
  serve HOST                       a node that answers ROS users with the grasps of their camera's frame

COMMAND --help says more. Software is no emergency stop: keep the real one within reach.
"""

_BOARD = """\
  columns=6 rows=8  squares of the board
  square=0.032      side of a square as measured on the print, metres
  marker=0.024      side of a marker, metres
"""

HELP = {
    "serve": """\
python -m robot serve HOST [key=value ...]: a node for ROS users, over rosbridge

  HOST              address of the computer that runs rosbridge_server
  port=9090         its port
  ros=2             version of ROS, 1 or 2
  checkpoint=pretrained  a network's file
  workspace=none    where grasps may lie: left,top,right,bottom (pixels), x,y,z,x,y,z (metres, camera frame), a mask
  count=50          grasps at most
  device=cpu        where the network runs
  colour=/camera/color/image_raw  depth=/camera/aligned_depth_to_color/image_raw  info=/camera/color/camera_info
                    topics of the camera; depth aligned to colour, both rectified
  frame=camera_color_optical_frame  name of the poses' frame
  service=/plgp/grasps

Each call of the service (std_srvs/Trigger) takes a picture and answers with JSON: grasps, best first, with translation,
quaternion_xyzw, width and quality. /plgp/grasps/poses carries the same poses as geometry_msgs/PoseArray.

  ros2 service call /plgp/grasps std_srvs/srv/Trigger
""",
    "report": """\
python -m robot report DIR: success rate, objects cleared, attempts and failures by reason, with intervals

  DIR               out= of python -m robot table5, finished or not
""",
    "replay": """\
python -m robot replay DIR [key=value ...]: what a recorded pick saw, chose and did

  DIR               a pick's folder: pick-0000 and so on, of python -m robot pick or table5
  checkpoint=FILE   another network's grasps on the same picture; "pretrained" is the installed one
  shown=10          grasps that are listed
  device=cpu        where the network runs

Draws DIR/replay.png: the executed grasp red, the others yellow, the other network's blue. DIR/film.gif is the film.
""",
    "board": f"""\
python -m robot board FILE [key=value ...]: writes a page with the ChArUco board, its sizes and a ruler

Print it at 100 %, check the ruler, and glue it onto something flat and stiff.

  FILE              ends in .pdf or .png
{_BOARD}\
  page=a4           a4, a3 or letter
""",
    "calibrate": f"""\
python -m robot calibrate DIR intrinsics=... [key=value ...]: finds the pose of the camera

Move the arm so that the camera sees the board, which stays where it is, from about 20 poses with tilts of 30 degrees
and more to every side. At rest, save a picture and the pose of the flange in the base.

  DIR               holds the pictures and poses.csv: picture,x,y,z,qx,qy,qz,qw (T_base_flange, metres)
  intrinsics        fx,fy,cx,cy of the pictures, or a file with them (JSON, YAML, ...)
  mount=flange      flange: camera on the hand. base: camera beside the arm, board on the hand
{_BOARD}\
  robot_position=0.0005  error of the arm's position along an axis, metres
  robot_rotation=0.001   error of the arm's rotation about an axis, radians
  out=DIR/hand_eye.yaml  the result; a picture of the residuals comes beside it

The held-out error is what counts: each picture is predicted by a fit to the others.
""",
    "validate": f"""\
python -m robot validate FILE DIR intrinsics=... [key=value ...]: tests a calibration

  FILE              what calibrate wrote
  DIR               holds one or more pictures of the board, poses.csv as for calibrate, and touches.csv:
                    corner,x,y,z (the place of the tip that touched the corner, base frame, metres). Corners are
                    counted from 0 along the rows. The base is ROS's base_link: a UR pendant's x and y with the other
                    sign. Without touches.csv the pictures are compared with each other.
  intrinsics        fx,fy,cx,cy of the pictures, or a file with them
{_BOARD}""",
}
