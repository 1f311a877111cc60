from .antipodal import AntipodalPolicy as AntipodalPolicy
from .grasp_files import FilePolicy as FilePolicy
from .random_grasps import RandomPolicy as RandomPolicy
from .random_grasps import random_grasps as random_grasps
