from .data import CropBatch as CropBatch
from .data import DexNetDataModule as DexNetDataModule
from .examples import ExampleSettings as ExampleSettings
from .examples import make_examples as make_examples
from .module import DexNetModule as DexNetModule
from .store import prepare_examples as prepare_examples
