"""The benchmark: methods x phantoms x parameters x devices, each in a fresh process, into one table and one page."""
