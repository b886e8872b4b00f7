"""Networks do not come along when a process is forked: the threads of torch and ONNX Runtime stay behind."""

import os

from garment_keypoints.pipeline.contract.faults import UserError

_loaded_in = 0
"""The process that loaded networks first; a forked one has this of its parent."""


def refuse_forked() -> None:
    """Raise UserError in a process that was forked from one where this was called before: its networks would wait for ever."""
    global _loaded_in
    _loaded_in = _loaded_in or os.getpid()
    if _loaded_in != os.getpid():
        raise UserError(
            "networks were loaded before this process was forked, and cannot run in it; start it by spawn, such as "
            'DataLoader(..., multiprocessing_context="spawn"), and call load() in it'
        )
