"""A digital head made by the program itself, and a scanner that makes raw k-space or images of it, with known truth."""

from ferritin.phantom.field import field, shim
from ferritin.phantom.grid import Grid
from ferritin.phantom.head import Head, grid, head
from ferritin.phantom.protocol import Protocol
from ferritin.phantom.scanner import Scanner
from ferritin.phantom.simulate import simulate

__all__ = ["Grid", "Head", "Protocol", "Scanner", "field", "grid", "head", "shim", "simulate"]
