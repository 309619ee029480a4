"""Settings: read once, checked at start."""

from newsletter.config.settings import (
    MASK,
    PREFIX,
    TRACKING_MODES,
    Settings,
    SettingsInvalid,
    data_folder,
    setting,
    setting_fields,
    settings,
)

__all__ = [
    "MASK",
    "PREFIX",
    "TRACKING_MODES",
    "Settings",
    "SettingsInvalid",
    "data_folder",
    "setting",
    "setting_fields",
    "settings",
]
