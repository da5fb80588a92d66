"""The joint of the product: stages made of ``curate`` functions, run by ``cluster``; the command line; training."""
