from .arm import RosArm as RosArm
from .camera import RosCamera as RosCamera
from .connection import RosConnection as RosConnection
from .hand import RosHand as RosHand
