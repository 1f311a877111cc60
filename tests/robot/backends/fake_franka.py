"""A Franka arm with its hand in MuJoCo, which speaks libfranka's protocol: franky-sim in a process of its own.

It prints "ready" and the address, and after each line on standard input that line.
"""

import sys
import threading

import franky_sim
from franky_sim.mujoco_simulator import MujocoSimulator

if __name__ == "__main__":
    with MujocoSimulator(enable_visualization=False) as simulator:
        robot = simulator.add_robot()
        with franky_sim.SimulationServer(simulator) as server:
            threading.Thread(target=server.run_forever, daemon=True).start()
            print("ready", robot.hostname, flush=True)
            for line in sys.stdin:
                print(line.strip(), flush=True)
