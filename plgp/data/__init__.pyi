from .module import Batch as Batch
from .module import EpochSampler as EpochSampler
from .module import PLGPDataModule as PLGPDataModule
from .module import collate as collate
