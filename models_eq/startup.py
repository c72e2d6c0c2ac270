"""C++ that lets a compiled program read arrays of any length when it starts.

Brian2 writes the number of synapses and of input spikes into the program. With these lines it takes
what it finds in files instead, so that one program runs a network before and after pruning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from brian2 import SpikeGeneratorGroup, Synapses
from brian2.codegen.generators.cpp_generator import c_data_type
from brian2.core.base import BrianObject

FOLDER = "connections"

_READ = """{{
    std::ifstream _file("{path}", std::ios::in | std::ios::binary | std::ios::ate);
    if (!_file.is_open())
    {{
        std::cerr << "Error opening {path}" << std::endl;
        exit(1);
    }}
    const size_t _count = (size_t)_file.tellg() / sizeof({kind});
    {array}.resize(_count);
    _file.seekg(0, std::ios::beg);
    if (_count > 0)
        _file.read(reinterpret_cast<char*>(&{array}[0]), _count * sizeof({kind}));
    if (_file.fail())
    {{
        std::cerr << "Error reading {path}" << std::endl;
        exit(1);
    }}
"""


def read_connections(device: Any, synapses: Synapses) -> dict[str, np.dtype]:
    """Let a program read the connections of ``synapses`` and their weight ``w`` at its start.

    Parameters
    ----------
    device : Device
        A standalone device of Brian2 that the objects were made on.
    synapses : Synapses
        Synapses with one connection, which gives way.

    Returns
    -------
    dict of str to dtype
        Files that the program expects in the folder ``connections``: both ends and the weight of
        each synapse.
    """
    files = {}
    code = ""
    size = device.get_array_name(synapses.variables["N"])
    for suffix, variable in (
        ("i", synapses.variables["_synaptic_pre"]),
        ("j", synapses.variables["_synaptic_post"]),
        ("w", synapses.variables["w"]),
    ):
        name = f"{synapses.name}_{suffix}"
        files[name] = np.dtype(variable.dtype)
        code += _read(device, name, variable) + f"    {size}[0] = (int32_t)_count;\n}}\n"
    if _on_gpu(device):
        code += (
            f"CUDA_SAFE_CALL(cudaMemcpy(dev{size}, {size}, sizeof({size}[0]), "
            "cudaMemcpyHostToDevice));\n"
        )
    device.insert_code("main", code)
    return files


def read_spikes(device: Any, generator: SpikeGeneratorGroup) -> dict[str, np.dtype]:
    """Let a program read what a generator emits: the index and the time step of each spike.

    Parameters
    ----------
    device : Device
        A standalone device of Brian2 that the generator was made on.
    generator : SpikeGeneratorGroup
        With one spike, which gives way.
    """
    files = {}
    for suffix, name in (("index", "neuron_index"), ("step", "_timebins")):
        variable = generator.variables[name]
        files[f"{generator.name}_{suffix}"] = np.dtype(variable.dtype)
        # After Brian2 has prepared the generator for the run.
        code = _read(device, f"{generator.name}_{suffix}", variable) + "}\n"
        device.insert_code("before_network_run", code)
    return files


def read_on_start(device: Any, objects: list[BrianObject]) -> dict[str, np.dtype]:
    """All files that a program reads at its start in place of the given objects' contents."""
    files: dict[str, np.dtype] = {}
    for one in objects:
        if isinstance(one, Synapses):
            files |= read_connections(device, one)
        elif isinstance(one, SpikeGeneratorGroup):
            files |= read_spikes(device, one)
    return files


def _read(device: Any, name: str, variable: Any) -> str:
    array = device.get_array_name(variable, access_data=False)
    code = _READ.format(path=f"{FOLDER}/{name}", kind=c_data_type(variable.dtype), array=array)
    return code + (f"    dev{array} = {array};\n" if _on_gpu(device) else "")


def _on_gpu(device: Any) -> bool:
    return type(device).__name__.startswith("CUDA")
