"""One file per group of loss terms; each term is a record of `fitting.term.Term` named in the registry."""
