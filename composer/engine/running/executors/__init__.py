"""Where stages are carried out: in this process, in workers beside it, or on a cluster."""
