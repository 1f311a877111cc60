from .collision import free_of_cloud as free_of_cloud
from .decoding import Answers as Answers
from .network import GraspNet as GraspNet
from .network import load_network as load_network
from .policy import GraspNetPolicy as GraspNetPolicy
