"""Python reads this when it starts, where this folder is on its path: a child of an offline process is offline too."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

# By its file: the child may have no mmlab on its path.
_spec = spec_from_file_location("_mmlab_offline", Path(__file__).parents[1] / "offline.py")
if _spec and _spec.loader:
    _module = module_from_spec(_spec)
    _spec.loader.exec_module(_module)
    _module.block_network()
