from .catalogue import FAMILIES as FAMILIES
from .catalogue import NOVEL as NOVEL
from .catalogue import SEEN as SEEN
from .generator import Weights as Weights
from .generator import make_shape as make_shape
from .generator import weigh as weigh
from .numbered import procedural_set as procedural_set
