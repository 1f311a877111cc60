from .calibration import Calibration as Calibration
from .calibration import read_calibration as read_calibration
from .calibration import read_intrinsics as read_intrinsics
from .images import read_depth as read_depth
from .images import read_rgb as read_rgb
from .masks import read_workspace as read_workspace
from .pairing import find_files as find_files
from .pairing import pair as pair
