"""Motion priors of hands: networks, their training and the weights that ship (imported as `hmpfit.priors`)."""
