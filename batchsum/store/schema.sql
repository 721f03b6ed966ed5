-- The tables of state.sqlite3.

PRAGMA application_id = 0x62737570;
PRAGMA user_version = 1;

CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    started_at TEXT NOT NULL,
    today TEXT NOT NULL,
    base_url TEXT NOT NULL,
    job_hash TEXT NOT NULL,
    generation INTEGER NOT NULL,  -- of the manifest that this run will replace
    owner TEXT NOT NULL,  -- the process that has the run: whoever resumes it takes it over
    state TEXT NOT NULL CHECK (state IN ('open', 'publishing', 'published', 'replaced', 'failed', 'closed')),
    publication TEXT,  -- while publishing: what is to be put in place; then UNTOLD for a while
    failure TEXT NOT NULL DEFAULT ''  -- in a sentence, why it left no table
);

CREATE TABLE answers (
    run INTEGER NOT NULL,
    request TEXT NOT NULL,  -- path and query below the base URL
    round INTEGER NOT NULL,  -- 1, or 2 where it was asked again at the end of the run
    status TEXT NOT NULL,  -- answered, rejected, failed; skipped where an outage had the last word
    answer TEXT NOT NULL,
    attempts TEXT NOT NULL,
    earlier TEXT NOT NULL DEFAULT '',  -- the answers that this one replaced, the oldest first, each ending its line
    PRIMARY KEY (run, request)
) WITHOUT ROWID;

CREATE TABLE rows (
    run INTEGER NOT NULL,
    night TEXT NOT NULL,
    position INTEGER NOT NULL,
    taxon TEXT NOT NULL,
    label TEXT NOT NULL,
    filter_set TEXT NOT NULL,
    filters TEXT NOT NULL,  -- as sent
    status TEXT NOT NULL,
    record_count INTEGER,
    resource_updated_on TEXT,
    previous_record_count INTEGER,
    error TEXT NOT NULL,
    requests TEXT NOT NULL,  -- the keys of its answers, one a line
    change TEXT NOT NULL,  -- the word of changes.csv
    query INTEGER NOT NULL,  -- the same on all nights on which the same is asked
    asks TEXT NOT NULL,  -- the filters in the job's words: a relative date is not resolved
    series TEXT NOT NULL,  -- of a window: what its whole series asks
    tax_id INTEGER,
    scientific_name TEXT NOT NULL,
    is_accepted INTEGER NOT NULL,
    held_in TEXT NOT NULL,  -- the file that holds it, as the job names it
    held_record_count INTEGER,
    PRIMARY KEY (run, position)
) WITHOUT ROWID;
CREATE INDEX rows_of_a_query ON rows (query, night);

CREATE TABLE queries (  -- the number of each query, by the spellings of its taxon and what it asks
    taxon TEXT NOT NULL,
    asks TEXT NOT NULL,
    query INTEGER NOT NULL,
    tax_id INTEGER,
    PRIMARY KEY (taxon, asks)
) WITHOUT ROWID;
CREATE INDEX queries_of_a_taxon ON queries (tax_id, asks);

CREATE TABLE believed (  -- the last believed night of each query of which no row is kept any more
    query INTEGER PRIMARY KEY,
    night TEXT NOT NULL,
    filters TEXT NOT NULL,
    record_count INTEGER NOT NULL,
    resource_updated_on TEXT
);

CREATE TABLE holdings (  -- the files that a run counted in, before it asked
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,  -- its place in the job
    facts TEXT NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;

CREATE TABLE held (  -- what such a file holds of a row
    run INTEGER NOT NULL,
    position INTEGER NOT NULL,
    file TEXT NOT NULL,  -- as the job names it
    record_count INTEGER,  -- NULL: nothing could be counted in the file
    PRIMARY KEY (run, position)
) WITHOUT ROWID;

CREATE TABLE taxa (  -- what each taxon stood for in NCBI's taxonomy, from one night on
    taxon TEXT NOT NULL,  -- as the job writes it
    learnt_on TEXT NOT NULL,
    tax_id INTEGER NOT NULL,
    scientific_name TEXT NOT NULL,
    rank TEXT NOT NULL,
    lineage TEXT NOT NULL,  -- the ids of the taxa above it, from the root down
    PRIMARY KEY (taxon, learnt_on)
) WITHOUT ROWID;

CREATE TABLE changed_taxa (  -- the nights on which a count of a taxon changed, or was heard for the first time
    taxon TEXT NOT NULL,
    night TEXT NOT NULL,
    PRIMARY KEY (taxon, night)
) WITHOUT ROWID;

CREATE TABLE nights (  -- the table of each night
    night TEXT PRIMARY KEY,
    rows INTEGER NOT NULL,
    doubtful INTEGER NOT NULL  -- of them those without a count to rely on
) WITHOUT ROWID;

CREATE TABLE data_dates (  -- of which moment NCBI's data were on each night
    night TEXT PRIMARY KEY,
    data_date TEXT  -- as NCBI wrote it; NULL where each row has its own
) WITHOUT ROWID;

CREATE TABLE accepted (  -- levels that a user told us to believe
    query INTEGER NOT NULL,
    night TEXT NOT NULL,
    taxon TEXT NOT NULL,
    filter_set TEXT NOT NULL,
    previous_record_count INTEGER,
    record_count INTEGER,
    accepted_at TEXT NOT NULL,
    accepted_by TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (query, night)
) WITHOUT ROWID;

CREATE TABLE told (  -- what hooks and messages have said of a night, in case that it is replaced
    night TEXT NOT NULL,
    taxon TEXT NOT NULL,
    filter_set TEXT NOT NULL,
    said TEXT NOT NULL,  -- a word of changes.csv, or the status of a row that cannot be relied on; a blank; the count
    PRIMARY KEY (night, taxon, filter_set, said)
) WITHOUT ROWID;

CREATE TABLE job (  -- as one row: the job of the last run that was published, or finished as a shard, and its taxa.lock, compressed
    copy BLOB NOT NULL,
    lock BLOB NOT NULL
);

CREATE TABLE outbox (  -- what somebody is to be told, until it is delivered
    note INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    facts TEXT NOT NULL,
    tries INTEGER NOT NULL
);
