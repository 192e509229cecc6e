"""Reports of finished runs. Empty until there is one."""
