"""Writers of miniature datasets in their exact layouts, with truth built from the open hand."""
