from .clearance import Clearance as Clearance
from .obstacles import Obstacle as Obstacle
from .planner import GraspPlan as GraspPlan
from .planner import MotionPlanner as MotionPlanner
from .settings import MotionSettings as MotionSettings
from .settings import Unreachable as Unreachable
from .timing import JointLimits as JointLimits
