"""Building methods and fusing pairs with them."""
