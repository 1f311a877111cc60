from .grasp_files import read_grasps as read_grasps
from .grasp_files import write_grasps as write_grasps
from .hand_frames import frame_names as frame_names
from .hand_frames import frame_of_grasp as frame_of_grasp
from .hand_frames import from_frame as from_frame
from .hand_frames import to_frame as to_frame
from .observation_files import read_observation as read_observation
from .observation_files import write_observation as write_observation
