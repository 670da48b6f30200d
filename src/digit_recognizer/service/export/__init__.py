"""The page as static files, which reads in the browser alone: ``digits export-page``."""
