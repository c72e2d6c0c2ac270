"""A network as a NEST or PyNN script with its arrays beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from brain_lnp.exchange.losses import tell
from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.storage import atomic_write, save

_HEAD = '''"""{title}. Written by brain_lnp; arrays lie in {data}.

Potentials are in mV and currents in {current}, with the numbers that the network has without units.
Spikes act one step of {{DT}} ms after they were emitted, the shortest delay of this simulator.
"""

import csv
import sys
from pathlib import Path

import numpy as np
{imports}

HERE = Path(__file__).resolve().parent
DT = 0.1  # ms
DURATION = float(sys.argv[1]) if len(sys.argv) > 1 else 1000.0  # ms
with np.load(HERE / "{data}", allow_pickle=False) as file:
    a = {{name: file[name] for name in file.files if name != "schema"}}
n = a["tau_m"].size
'''

_TAIL = """
with open(HERE / "{name}_spikes.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["t_ms", "neuron"])
    writer.writerows(spikes)
print(f"{{len(spikes)}} spikes in {name}_spikes.csv")
"""

_NEST = """
nest.ResetKernel()
nest.set(resolution=DT)
neurons = nest.Create("{model}", n)
tau_m = a["tau_m"] * 1e3
neurons.set({{"C_m": tau_m.tolist(), "tau_m": tau_m.tolist(), "E_L": a["v_rest"].tolist(),
             "V_th": a["v_th"].tolist(), "V_reset": a["v_reset"].tolist(),
             "V_m": a["v_reset"].tolist(), "I_e": a["i_ext"].tolist(),
             "t_ref": (a["t_ref"] * 1e3).tolist()}})
{synaptic}first = neurons[0].global_id
if a["w"].size:
    nest.Connect((a["i"] + first).astype(np.int64), (a["j"] + first).astype(np.int64),
                 conn_spec="one_to_one",
                 syn_spec={{"weight": a["w"], "delay": np.full(a["w"].size, DT)}})
recorder = nest.Create("spike_recorder")
nest.Connect(neurons, recorder)
nest.Simulate(DURATION)
events = recorder.events
order = np.lexsort((events["senders"], events["times"]))
spikes = [(float(events["times"][k]), int(events["senders"][k]) - first) for k in order]
"""
_NEST_SYNAPTIC = """for kind in ("tau_syn_ex", "tau_syn_in"):
    neurons.set({kind: (a["tau_syn"] * 1e3).tolist()})
"""

_PYNN = """
sim.setup(timestep=DT, min_delay=DT)
neurons = sim.Population(n, sim.IF_curr_exp(
    cm=a["tau_m"] * 1e3, tau_m=a["tau_m"] * 1e3, tau_syn_E=a["tau_syn"] * 1e3,
    tau_syn_I=a["tau_syn"] * 1e3, tau_refrac=np.maximum(a["t_ref"] * 1e3, DT),
    v_rest=a["v_rest"], v_thresh=a["v_th"], v_reset=a["v_reset"], i_offset=a["i_ext"]))
neurons.initialize(v=a["v_reset"])
for receptor, mine in (("excitatory", a["w"] > 0), ("inhibitory", a["w"] < 0)):
    rows = [(int(i), int(j), float(w), DT)
            for i, j, w in zip(a["i"][mine], a["j"][mine], a["w"][mine])]
    if rows:
        connector = sim.FromListConnector(rows, column_names=["weight", "delay"])
        sim.Projection(neurons, neurons, connector, sim.StaticSynapse(), receptor_type=receptor)
neurons.record("spikes")
sim.run(DURATION)
trains = neurons.get_data().segments[0].spiketrains
spikes = sorted((float(t), k) for k, train in enumerate(trains) for t in train.magnitude)
sim.end()
"""


def to_script(
    net: HRSNN,
    path: str | os.PathLike[str],
    simulator: str = "nest",
    *,
    strict: bool = False,
) -> tuple[Path, Path]:
    """Write a script for another simulator, and the arrays that it reads.

    Parameters
    ----------
    net : HRSNN
        A ``lif_exp`` network; for NEST also ``lif_delta``.
    path : path-like
        The script, ``*.py``; the network goes to a file of the same name ending in ``.npz``.
    simulator : {'nest', 'pynn'}
        PyNN scripts take the backend as their second argument (``nest``, ``neuron``, ``brian2``).
    strict : bool
        Refuse a network whose dynamics the script does not reproduce whole.

    Returns
    -------
    script, data : Path

    Raises
    ------
    CapabilityError
        For a model that the simulator has none for.
    ParameterError
        For an unknown simulator or another suffix.

    Warns
    -----
    FormatWarning
        That spikes act one step later, and for PyNN that refractory periods are one step at least.

    Notes
    -----
    Membranes start at ``v_reset``. The script writes ``NAME_spikes.csv`` beside itself.
    """
    if not isinstance(net, HRSNN):
        raise ParameterError("net", "an HRSNN", type(net).__name__)
    models = {"nest": {"lif_exp": "iaf_psc_exp", "lif_delta": "iaf_psc_delta"},
              "pynn": {"lif_exp": "IF_curr_exp"}}  # fmt: skip
    if not isinstance(simulator, str) or simulator not in models:
        raise ParameterError("simulator", "'nest' or 'pynn'", simulator)
    script = Path(path)
    if script.suffix != ".py" or not script.stem.isidentifier():
        raise ParameterError("path", "a file name of letters and digits ending in .py", str(path))
    if net.model not in models[simulator]:
        known = " or ".join(models[simulator])
        raise CapabilityError("model", f"{known} for {simulator}", net.model)
    losses = ["synapses without delay: spikes act one step later"]
    if simulator == "pynn" and (net.t_ref < 1e-4).any():
        losses.append("refractory periods below 0.1 ms")
    tell(losses, simulator, strict=strict)
    data = script.with_suffix(".npz")
    nest = simulator == "nest"
    imports = "import nest" if nest else (
        "import importlib\n\nbackend = sys.argv[2] if len(sys.argv) > 2 else \"nest\"\n"
        "sim = importlib.import_module(f\"pyNN.{backend}\")"
    )  # fmt: skip
    head = _HEAD.format(
        title=f"{net.n} neurons, {net.n_synapses} synapses", data=data.name, imports=imports,
        current="pA" if nest else "nA",
    ).replace("{DT}", "0.1")  # fmt: skip
    synaptic = _NEST_SYNAPTIC if net.model == "lif_exp" else ""
    body = _NEST.format(model=models["nest"][net.model], synaptic=synaptic) if nest else _PYNN
    text = head + body + _TAIL.format(name=script.stem)

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    save(net, data)
    return atomic_write(script, write), data
