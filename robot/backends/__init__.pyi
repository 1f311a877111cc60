from .realsense import RealSenseCamera as RealSenseCamera
from .robotiq import RobotiqHand as RobotiqHand
from .rosbridge.arm import RosArm as RosArm
from .rosbridge.camera import RosCamera as RosCamera
from .rosbridge.connection import RosConnection as RosConnection
from .rosbridge.hand import RosHand as RosHand
from .ur import URArm as URArm
