from .callbacks import BenchmarkCallback as BenchmarkCallback
from .data.module import PLGPDataModule as PLGPDataModule
from .losses import BinaryFocalLoss as BinaryFocalLoss
from .losses import GraspLoss as GraspLoss
from .module import GraspModule as GraspModule
from .policy.network import NetworkPolicy as NetworkPolicy
from .targets import rasterise as rasterise

__version__: str
