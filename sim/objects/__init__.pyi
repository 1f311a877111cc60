from .object_set import ObjectModel as ObjectModel
from .object_set import ObjectSet as ObjectSet
from .settings import MeshSettings as MeshSettings
