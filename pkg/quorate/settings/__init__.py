"""All settings as one frozen tree; nothing starts unless the whole of it is valid."""

from .load import load_settings, process_environment
from .tree import Settings

__all__ = ["Settings", "load_settings", "process_environment"]
