"""A UR controller on 127.0.0.1: dashboard, script port and RTDE, as the protocol documents have them.

It runs as its own process, ``python fake_ur.py``: the driver holds the interpreter's lock while it waits. Lines on
standard input change it: "protective", "estop", "freeze", "cut", "force 80", "thaw", "clear", "script-dies"; after
"later 5" a protective stop is 5 seconds older. It prints "ready", and after each line that line.
"""

import contextlib
import socket
import struct
import sys
import threading
import time

TICK = 0.008
HOME = (0.0, -1.2, 1.4, -1.7, -1.57, 0.0)
VECTORS = ("_q", "_qd", "_qdd", "_current", "_moment", "_control_output", "_temperatures", "_voltage", "TCP_")
state = {
    "timestamp": 1.0,
    "actual_q": list(HOME),
    "actual_qd": [0.0] * 6,
    "actual_TCP_force": [0.0] * 6,
    "robot_mode": 7,
    "runtime_state": 1,
    "robot_status_bits": 1,
    "safety_status_bits": 1,
    "output_int_register_0": 0,
}
inputs = {"input_int_register_0": 0}
target = list(state["actual_q"])
flags = {"frozen": False, "cut": False, "protective": 0.0}
sockets = []


def kind(name):
    """struct's letter, how many, and the document's word for the type of a variable."""
    if "int_register" in name or name in ("robot_mode", "safety_mode"):
        return "i", 1, "INT32"
    if name == "joint_mode":
        return "i", 6, "VECTOR6INT32"
    if name in ("actual_tool_accelerometer", "payload_cog", "elbow_position", "elbow_velocity"):
        return "d", 3, "VECTOR3D"
    if name.startswith("actual_digital") or "digital_output_bits" in name:
        return "Q", 1, "UINT64"
    if (
        name.endswith("bits")
        or "bit_registers" in name
        or name in ("runtime_state", "speed_slider_mask", "safety_status")
    ):
        return "I", 1, "UINT32"
    if name.endswith(("digital_output", "output_mask", "output_type")):
        return "B", 1, "UINT8"
    if name == "actual_robot_current":
        return "d", 1, "DOUBLE"
    if name.endswith(("_q", "_qd", "_qdd", "_current", "_moment", "_temperatures", "_inertia", "_force_torque")) or (
        "TCP_" in name or name in ("joint_control_output", "actual_joint_voltage", "ft_raw_wrench")
    ):
        return "d", 6, "VECTOR6D"
    return "d", 1, "DOUBLE"


def pack(names):
    out = b""
    for name in names:
        letter, count, _ = kind(name)
        value = state.get(name, inputs.get(name, 0))
        values = value if isinstance(value, list) else [value] * count
        out += struct.pack(f">{count}{letter}", *[float(v) if letter == "d" else int(v) for v in values])
    return out


def take(names, data):
    at = 0
    for name in names:
        letter, count, _ = kind(name)
        values = struct.unpack_from(f">{count}{letter}", data, at)
        at += struct.calcsize(f">{count}{letter}")
        inputs[name] = list(values) if count > 1 else values[0]


def serve(port, talk):
    """One thread a connection."""
    door = socket.create_server(("127.0.0.1", port))

    def listen():
        while True:
            one, _ = door.accept()
            sockets.append(one)
            threading.Thread(target=quietly, args=(talk, one), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()


def quietly(talk, one):
    with contextlib.suppress(OSError):
        talk(one)


def dashboard(one):
    one.sendall(b"Connected: Universal Robots Dashboard Server\n")
    for line in one.makefile("r"):
        word = line.strip().lower()
        answer = f"could not understand: {word}"
        if "polyscopeversion" in word:
            answer = "URSoftware 5.11.1.108318 (Jun 10 2021)"
        elif word == "get serial number":
            answer = "20205599999"
        elif word == "is in remote control":
            answer = "true"
        elif word == "stop":
            answer = "Stopped"
            set_program(False)
        elif word == "close safety popup":
            answer = "closing safety popup"
        elif word == "unlock protective stop":
            if time.monotonic() - flags["protective"] < 5:
                answer = "Cannot unlock protective stop until 5s after occurrence. Always inspect cause of protective "
                answer += "stop before unlocking"
            else:
                answer = "Protective stop releasing"
                state["safety_status_bits"] = 1
        elif word == "quit":
            one.sendall(b"Disconnected\n")
            return
        one.sendall(answer.encode() + b"\n")


def set_program(running):
    state["robot_status_bits"] = 3 if running else 1
    state["runtime_state"] = 2 if running else 1
    state["output_int_register_0"] = 1 if running else 0


def script(one):
    """A program that ends in a line feed after "end" starts; it is not read."""
    text = b""
    while data := one.recv(65536):
        text += data
        if text.rstrip().endswith(b"end"):
            time.sleep(0.02)
            set_program(True)
            text = b""


def rtde(one):
    outputs, recipes, started, rest = [], {}, threading.Event(), b""
    wait = 0.008

    def send(letter, body):
        one.sendall(struct.pack(">HB", len(body) + 3, ord(letter)) + body)

    def publish():
        while not flags["cut"]:
            started.wait()
            if not flags["frozen"]:
                send("U", b"\x01" + pack(outputs))
            time.sleep(wait)

    threading.Thread(target=quietly, args=(lambda _: publish(), one), daemon=True).start()
    while data := one.recv(65536):
        rest += data
        while len(rest) >= 3 and len(rest) >= (size := struct.unpack(">H", rest[:2])[0]):
            letter, body, rest = chr(rest[2]), rest[3:size], rest[size:]
            if letter == "V":
                send("V", b"\x01")
            elif letter == "v":
                send("v", struct.pack(">IIII", 5, 11, 1, 108318))
            elif letter == "O":
                wait = 1 / struct.unpack(">d", body[:8])[0]
                outputs = [n for n in body[8:].decode().split(",") if n]
                send("O", b"\x01" + ",".join(kind(n)[2] for n in outputs).encode())
            elif letter == "I":
                names = [n for n in body.decode().split(",") if n]
                recipes[len(recipes) + 1] = names
                send("I", bytes([len(recipes)]) + ",".join(kind(n)[2] for n in names).encode())
            elif letter == "S":
                send("S", b"\x01")
                started.set()
            elif letter == "P":
                started.clear()
                send("P", b"\x01")
            elif letter == "U":
                take(recipes[body[0]], body[1:])


def control():
    """The control script's loop, and an arm that follows its targets."""
    servo = False
    while True:
        time.sleep(TICK)
        command, stopped = inputs["input_int_register_0"], state["safety_status_bits"] != 1
        if stopped:
            servo = False
            set_program(False)
        if state["runtime_state"] == 2:
            if state["output_int_register_0"] == 2:
                state["output_int_register_0"] = 1 if command == 0 else 2
            elif command == 11:
                target[:] = [inputs[f"input_double_register_{i}"] for i in range(6)]
                servo = True
            elif command in (16, 34, 15):
                servo = False
                state["output_int_register_0"] = 2
            elif command == 255:
                servo = False
                set_program(False)
            elif command:
                state["output_int_register_0"] = 2
        else:
            servo = False
        q = state["actual_q"]
        steps = [0.25 * (t - a) if servo else 0.0 for t, a in zip(target, q, strict=True)]
        state["actual_q"] = [a + s for a, s in zip(q, steps, strict=True)]
        state["actual_qd"] = [s / TICK for s in steps]
        if not flags["frozen"]:
            state["timestamp"] += TICK


def obey(line):
    if line == "protective":
        state["safety_status_bits"], flags["protective"] = 4, time.monotonic()
    elif line.startswith("later"):
        flags["protective"] -= float(line.split()[1])
    elif line == "estop":
        state["safety_status_bits"] = 1 << 6 | 1 << 7
    elif line == "clear":
        state["safety_status_bits"] = 1
    elif line == "freeze":
        flags["frozen"] = True
    elif line == "thaw":
        flags["frozen"] = False
    elif line.startswith("force"):
        state["actual_TCP_force"][2] = float(line.split()[1])
    elif line == "home":
        state["actual_q"] = list(HOME)
    elif line == "on":
        state["robot_mode"] = 7
    elif line == "off":
        state["robot_mode"] = 3
    elif line == "script-dies":
        set_program(False)
    elif line == "cut":
        flags["cut"] = True
        for one in sockets:
            one.close() if one.fileno() < 0 else one.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    serve(29999, dashboard)
    for port in (30001, 30002, 30003):
        serve(port, script)
    serve(30004, rtde)
    threading.Thread(target=control, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "where":
            print(*state["actual_q"], flush=True)
            continue
        with contextlib.suppress(OSError):
            obey(line.strip())
        print(line.strip(), flush=True)
