-- The tables of the catalogue.

CREATE TABLE taxon (tax_id INTEGER PRIMARY KEY, parent_id INTEGER, rank TEXT, name TEXT, common_name TEXT);
-- Every name of a taxon, in small letters.
CREATE TABLE name (folded TEXT, tax_id INTEGER, PRIMARY KEY (folded, tax_id)) WITHOUT ROWID;
-- The first columns are those of a GenomeRecord, in their order.
CREATE TABLE record (
    id INTEGER PRIMARY KEY, accession TEXT UNIQUE, tax_id INTEGER, length INTEGER, refseq INTEGER, annotated INTEGER,
    complete INTEGER, proteins INTEGER, released TEXT, revised TEXT, collected TEXT, host_id INTEGER,
    continent TEXT COLLATE NOCASE, country TEXT COLLATE NOCASE, usa_state TEXT COLLATE NOCASE,
    pango_lineage TEXT COLLATE NOCASE, unversioned TEXT);
-- The records that were given, as they were given.
CREATE TABLE report (id INTEGER PRIMARY KEY, line TEXT);
CREATE INDEX taxon_parent ON taxon (parent_id);
CREATE INDEX record_virus ON record (tax_id);
CREATE INDEX record_unversioned ON record (unversioned);
