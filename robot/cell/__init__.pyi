from .hand_eye import BelievedHandEye as BelievedHandEye
from .settings import CellSettings as CellSettings
from .settings import ReceptacleSettings as ReceptacleSettings
from .simulated_cell import SimulatedCell as SimulatedCell
from .simulated_devices import SimulatedArm as SimulatedArm
from .simulated_devices import SimulatedCamera as SimulatedCamera
from .simulated_devices import SimulatedHand as SimulatedHand
