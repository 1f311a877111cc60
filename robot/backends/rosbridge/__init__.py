"""ROS arms, hands and cameras over rosbridge's websocket (extra ``ros``): ROS 1 and ROS 2, MoveIt's controllers too."""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
