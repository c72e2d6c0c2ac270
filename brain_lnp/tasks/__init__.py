"""Tasks: chaotic systems, series, images and event recordings, each as one frozen value."""

from __future__ import annotations

from brain_lnp.tasks import encoders, events, neurobench, trivial
from brain_lnp.tasks.chaotic import lorenz63, mackey_glass, rossler
from brain_lnp.tasks.downloads import DATASETS, fetch_data, public_images, read_data
from brain_lnp.tasks.eventtask import EventTask, event_task, load_events
from brain_lnp.tasks.images import digits, image_task, load_npz_images
from brain_lnp.tasks.patches import PatchDictionary
from brain_lnp.tasks.series import csv_series
from brain_lnp.tasks.task import Split, Task, forecast_task

__all__ = [
    "DATASETS",
    "EventTask",
    "PatchDictionary",
    "Split",
    "Task",
    "csv_series",
    "digits",
    "encoders",
    "event_task",
    "events",
    "fetch_data",
    "forecast_task",
    "image_task",
    "load_events",
    "load_npz_images",
    "lorenz63",
    "mackey_glass",
    "neurobench",
    "public_images",
    "read_data",
    "rossler",
    "trivial",
]
