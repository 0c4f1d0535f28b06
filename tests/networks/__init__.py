"""Small networks, each with a structure that pruning tools are known to get wrong."""
