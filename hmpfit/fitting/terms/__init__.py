"""One file per group of loss terms; each term is a record of `interfaces.term.Term` named in the registry."""
