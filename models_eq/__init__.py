"""What a network is and how it runs: equations, laws, topology, Brian2 objects, devices."""

from __future__ import annotations

from models_eq.compiling import Program, compile_program
from models_eq.device import capabilities, use_device
from models_eq.distributions import (
    Clipped,
    Delta,
    Distribution,
    Gamma,
    LogNormal,
    Mixture,
    Normal,
    Uniform,
)
from models_eq.errors import (
    BrainLNPError,
    BudgetError,
    CapabilityError,
    ConvergenceError,
    DeviceError,
    FormatError,
    MissingFileError,
    ParameterError,
    SilentNetworkError,
    UnitError,
)
from models_eq.hrsnn import HRSNN
from models_eq.network import BrianObjects, to_brian2
from models_eq.neurons import MODELS, NeuronModel
from models_eq.plastic import train_stdp
from models_eq.plasticity import STDP
from models_eq.simulate import simulate, simulate_batch
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import SpikeInput, Stimulus, noise_stimulus, slow_stimulus
from models_eq.storage import load, save
from models_eq.structure import heavy_tailed, low_rank, stdp_shaped
from models_eq.topology import (
    Clustered,
    DistanceDependent,
    ErdosRenyi,
    FixedInDegree,
    SmallWorld,
)
from models_eq.trajectory import Trajectory

__all__ = [
    "HRSNN",
    "MODELS",
    "STDP",
    "BrainLNPError",
    "BrianObjects",
    "BudgetError",
    "CapabilityError",
    "Clipped",
    "Clustered",
    "ConvergenceError",
    "Delta",
    "DeviceError",
    "DistanceDependent",
    "Distribution",
    "ErdosRenyi",
    "FixedInDegree",
    "FormatError",
    "Gamma",
    "HRSNNSpec",
    "LogNormal",
    "MissingFileError",
    "Mixture",
    "NeuronModel",
    "Normal",
    "ParameterError",
    "Program",
    "SilentNetworkError",
    "SmallWorld",
    "SpikeInput",
    "Stimulus",
    "Trajectory",
    "Uniform",
    "UnitError",
    "capabilities",
    "compile_program",
    "heavy_tailed",
    "load",
    "low_rank",
    "noise_stimulus",
    "sample_hrsnn",
    "save",
    "simulate",
    "simulate_batch",
    "slow_stimulus",
    "stdp_shaped",
    "to_brian2",
    "train_stdp",
    "use_device",
]
