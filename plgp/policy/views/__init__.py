"""Views that stand between a camera and a network: the trained one, leaning ones, and what is measured in them."""
