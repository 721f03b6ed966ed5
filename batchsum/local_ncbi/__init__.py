"""The embedded server: NCBI's Datasets gateway for virus genomes, on this machine, without a network.

It answers from a catalogue of real taxa and real RefSeq genomes, and of made-up GenBank-like records whose
accessions (`DEMO000001.1`) cannot be mistaken for NCBI's. It imports nothing of the client's side: what it
knows of the protocol it knows from NCBI's specification, so that a mistake is not made twice in the same way.
"""
