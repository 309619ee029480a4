"""Pages of campaigns: writing for staff, the archive for everybody."""
