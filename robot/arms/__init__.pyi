from .assembly import Assembly as Assembly
from .assembly import assemble as assemble
from .model import ArmModel as ArmModel
