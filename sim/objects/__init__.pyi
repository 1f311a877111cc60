from .meshes import MeshSettings as MeshSettings
from .object_set import ObjectModel as ObjectModel
from .object_set import ObjectSet as ObjectSet
