"""One file a command; each holds a click command named `command`. cli.py finds them by file name and imports lazily."""
