"""Laws, and the checkout that they are tried on."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
