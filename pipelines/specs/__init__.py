"""Ready specs, one TOML file each; ``curate spec NAME`` prints them."""
