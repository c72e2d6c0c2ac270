"""Public data sets: where their publishers offer them, their checksums and their terms.

``pooch`` fetches and verifies; nothing is fetched unless asked for. Where there is no network, put
the files where :func:`data_folder` looks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from brain_lnp.tasks.datafile import DATA_VARIABLE
from brain_lnp.tasks.imagefiles import ImageSet, read_cifar_binary, read_idx_folder
from brain_lnp.tasks.images import image_task
from brain_lnp.tasks.task import Task
from models_eq.errors import CapabilityError, FormatError, MissingFileError, ParameterError


@dataclass(frozen=True)
class DataSet:
    """One public data set.

    Attributes
    ----------
    name : str
    what : str
        One line about it.
    base : str
        Where the files lie, up to their name.
    files : Mapping of str to str
        Name and checksum (``md5:...``) of each file, as published.
    licence : str
    paths : Mapping of str to str
        Name at the server where it differs.
    """

    name: str
    what: str
    base: str
    files: Mapping[str, str]
    licence: str
    paths: Mapping[str, str] = field(default_factory=dict)

    def url(self, file: str) -> str:
        """Address of a file."""
        return self.base + self.paths.get(file, file)


def _idx(train_x: str, train_y: str, test_x: str, test_y: str) -> dict[str, str]:
    return {
        "train-images-idx3-ubyte.gz": f"md5:{train_x}",
        "train-labels-idx1-ubyte.gz": f"md5:{train_y}",
        "t10k-images-idx3-ubyte.gz": f"md5:{test_x}",
        "t10k-labels-idx1-ubyte.gz": f"md5:{test_y}",
    }


_MENDELEY = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/"
DATASETS: Mapping[str, DataSet] = MappingProxyType({
    d.name: d for d in (
        DataSet(
            "mnist", "hand-written digits, 60,000 + 10,000 of 28 x 28",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            _idx("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
                 "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
            "none stated by LeCun, Cortes & Burges; often redistributed as CC BY-SA 3.0",
        ),
        DataSet(
            "fashion_mnist", "articles of clothing, 60,000 + 10,000 of 28 x 28",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            _idx("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
                 "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
            "MIT (Zalando Research)",
        ),
        DataSet(
            "kmnist", "cursive Japanese characters, 60,000 + 10,000 of 28 x 28",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            _idx("bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
                 "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134"),
            "CC BY-SA 4.0 (ROIS-DS Center for Open Data in the Humanities)",
        ),
        DataSet(
            "cifar10", "colour photographs of 10 classes, 50,000 + 10,000 of 32 x 32",
            "https://www.cs.toronto.edu/~kriz/",
            {"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
            "none stated by Krizhevsky, Nair & Hinton, who ask for citation",
        ),
        DataSet(
            "cifar100", "colour photographs of 100 classes, 50,000 + 10,000 of 32 x 32",
            "https://www.cs.toronto.edu/~kriz/",
            {"cifar-100-binary.tar.gz": "md5:03b5dce01913d631647c71ecec9e9cb8"},
            "none stated by Krizhevsky, Nair & Hinton, who ask for citation",
        ),
        DataSet(
            "nmnist", "MNIST seen by a moving event camera, 60,000 + 10,000 recordings",
            _MENDELEY,
            {"Train.zip": "md5:20959b8e626244a1b502305a9e6e2031",
             "Test.zip": "md5:69ca8762b2fe404d9b9bad1103e97832"},
            "CC BY-SA 4.0 (Orchard et al. 2015, doi:10.3389/fnins.2015.00437)",
            MappingProxyType({
                "Train.zip": "39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
                "Test.zip": "05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
            }),
        ),
    )
})  # fmt: skip


def _named(name: str) -> DataSet:
    if name not in DATASETS:
        raise ParameterError("name", "one of " + ", ".join(DATASETS), name)
    return DATASETS[name]


def data_folder(directory: str | os.PathLike[str] | None = None) -> Path:
    """Folder of the data sets: ``directory``, else ``$BRAIN_LNP_DATA``, else the user's cache."""
    if directory is not None:
        return Path(directory).expanduser()
    if os.environ.get(DATA_VARIABLE):
        return Path(os.environ[DATA_VARIABLE]).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "brain_lnp"


def present(name: str, directory: str | os.PathLike[str] | None = None) -> list[str]:
    """Files of a data set that its folder lacks; an empty list where all are there."""
    folder = data_folder(directory) / name
    return [file for file in _named(name).files if not (folder / file).is_file()]


def fetch_data(name: str, directory: str | os.PathLike[str] | None = None) -> list[Path]:
    """Download what is missing of a data set, and verify all of it.

    Parameters
    ----------
    name : str
        One of ``DATASETS``.
    directory : path-like, optional
        Folder of all data sets (see :func:`data_folder`); this one gets a folder of its name in it.

    Returns
    -------
    list of Path

    Raises
    ------
    CapabilityError
        Without pooch.
    FormatError
        If a file has another checksum than the publisher's; it is not kept.
    MissingFileError
        If the network or the server does not answer, naming addresses and the place to put the
        files by hand.
    """
    data = _named(name)
    folder = data_folder(directory) / name
    try:
        import pooch
    except ImportError as error:
        raise CapabilityError(
            "data get", "the package pooch", "none", "pip install 'brain-lnp[data]'"
        ) from error
    found = []
    for file, checksum in data.files.items():
        try:
            path = pooch.retrieve(data.url(file), checksum, fname=file, path=folder)
        except ValueError as error:  # what pooch raises for a checksum that differs
            raise FormatError(str(folder / file), f"a file of {checksum}", str(error)) from error
        except Exception as error:  # requests, urllib and the file system each raise their own
            raise MissingFileError(
                file,
                f"an answer from {data.url(file)}",
                f"{type(error).__name__}",
                f"Without a network, put the file at {folder / file}",
            ) from error
        found.append(Path(path))
    return found


def read_data(name: str, directory: str | os.PathLike[str] | None = None) -> ImageSet:
    """Images of a data set whose files are there; nothing is downloaded.

    Parameters
    ----------
    name : str
        One of ``DATASETS``.
    directory : path-like, optional
        Where data sets lie, each in a folder of its name; by default ``$BRAIN_LNP_DATA`` or the
        user's cache.

    Returns
    -------
    ImageSet

    Raises
    ------
    MissingFileError
        Naming the command that downloads them, and the folder they are expected in.
    CapabilityError
        For ``nmnist``, which is read by :func:`brain_lnp.tasks.events.read_event_zip`.
    """
    data = _named(name)
    if name == "nmnist":
        raise CapabilityError("name", "images", name, "Use tasks.events for event lists")
    folder = data_folder(directory) / name
    absent = present(name, directory)
    if absent:
        raise MissingFileError(
            absent[0],
            f"the file in {folder}",
            "none",
            f"Run `brain-lnp data get {name}`, or set {DATA_VARIABLE} to the folder above",
        )
    if name in ("cifar10", "cifar100"):
        return read_cifar_binary(folder / next(iter(data.files)), name)
    return read_idx_folder(folder)


def public_images(
    name: str,
    *,
    directory: str | os.PathLike[str] | None = None,
    seed: int = 0,
    n_train: int | None = 2000,
    n_validation: int | None = 500,
    n_test: int | None = 1000,
    **settings: Any,
) -> Task:
    """Task on a public data set in its original files.

    Parameters
    ----------
    name : str
        ``mnist``, ``fashion_mnist``, ``kmnist``, ``cifar10`` or ``cifar100``.
    directory : path-like, optional
        Folder of all data sets, see :func:`data_folder`.
    seed, n_train, n_validation, n_test, **settings
        As for :func:`brain_lnp.tasks.load_npz_images`.

    Raises
    ------
    MissingFileError
        If the files are not there, saying what to do.
    FormatError
        If they are damaged.
    """
    images = read_data(name, directory)
    given = {"name": name, "licence": DATASETS[name].licence, **settings}
    return image_task(
        images.x_train,
        images.y_train,
        test=(images.x_test, images.y_test),
        seed=seed,
        n_train=n_train,
        n_validation=n_validation,
        n_test=n_test,
        **given,
    )
