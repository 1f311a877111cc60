from .agreement import count_agreement as count_agreement
from .agreement import describe_agreement as describe_agreement
from .mujoco_world import MujocoWorld as MujocoWorld
from .second_attempts import judge_attempts as judge_attempts
