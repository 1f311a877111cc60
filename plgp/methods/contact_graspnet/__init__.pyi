from .grasps import ContactGrasps as ContactGrasps
from .grasps import read_heads as read_heads
from .network import ContactGraspNet as ContactGraspNet
from .network import load_network as load_network
from .policy import ContactGraspNetPolicy as ContactGraspNetPolicy
