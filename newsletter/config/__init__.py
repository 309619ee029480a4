"""Settings: read once, checked at start."""

from newsletter.config.settings import (
    FILE_SUFFIX,
    LOG_FORMATS,
    LOG_LEVELS,
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
    "FILE_SUFFIX",
    "LOG_FORMATS",
    "LOG_LEVELS",
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
