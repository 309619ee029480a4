"""Settings: read once, checked at start."""

from newsletter.config.settings import (
    MASK,
    PREFIX,
    TRACKING_MODES,
    Settings,
    SettingsInvalid,
    current_settings,
    data_folder,
    setting,
    setting_fields,
)

__all__ = [
    "MASK",
    "PREFIX",
    "TRACKING_MODES",
    "Settings",
    "SettingsInvalid",
    "current_settings",
    "data_folder",
    "setting",
    "setting_fields",
]
