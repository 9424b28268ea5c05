"""Dynamic configuration: layered sources, hot reload, a versioned shared store.

config = await get_config_manager("redis://localhost:6379")
config.add_file_source("config/app.yaml", ConfigFormat.YAML)
config.get("database.url", "sqlite://")
await config.set("feature.enabled", True)
config.add_change_callback(on_config_change)
"""

from .assembly import ConfigChange, Validator
from .diff import KeyChange
from .door import get_config_manager
from .formats import ConfigFormat
from .layers import Explanation, Origin, Snapshot
from .manager import ConfigManager
from .model import Commit, Layer, Loaded, Write
from .options import ConfigOptions, ConfigStats
from .sources.source import Source
from .store import ConfigStore
from .subscribers import ConfigWatcher
from .writing import Effect, Terms

__all__ = [
    "Commit",
    "ConfigChange",
    "ConfigFormat",
    "ConfigManager",
    "ConfigOptions",
    "ConfigStats",
    "ConfigStore",
    "ConfigWatcher",
    "Effect",
    "Explanation",
    "KeyChange",
    "Layer",
    "Loaded",
    "Origin",
    "Snapshot",
    "Source",
    "Terms",
    "Validator",
    "Write",
    "get_config_manager",
]
