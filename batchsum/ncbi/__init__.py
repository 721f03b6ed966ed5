"""How NCBI Datasets is spoken to: a request as it is sent, an answer as it is read, and what either can meet."""
