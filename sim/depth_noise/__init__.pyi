from .mixed import MixedNoise as MixedNoise
from .model import Noise as Noise
from .model import describe_noise as describe_noise
from .model import noise_for_camera as noise_for_camera
from .model import noise_on_part as noise_on_part
from .paper import DepthNoise as DepthNoise
from .sensor import SensorNoise as SensorNoise
