from .attempt import PickAttempt as PickAttempt
from .failed_places import FailedPlaces as FailedPlaces
from .picker import Picker as Picker
from .settings import PickSettings as PickSettings
