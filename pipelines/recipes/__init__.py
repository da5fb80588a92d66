"""The recipes: what a competitor would start from. One file a challenge, and what they share."""
