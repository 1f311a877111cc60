from .robotiq import RobotiqHand as RobotiqHand
from .ur import URArm as URArm
