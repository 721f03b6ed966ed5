-- The longer statements, each below its name. Lists are bound as one JSON text: SQLite takes a limited number of
-- parameters. Every look for a query's rows names its index: of its own accord SQLite would walk through all rows of a
-- run.


-- name: numbers
-- The number of each of ?1 in its order: by the id of its taxon, best under the same spelling, else as it is written.
SELECT coalesce(
    (SELECT query FROM queries WHERE taxon = wanted.taxon AND asks = wanted.asks AND tax_id = wanted.tax_id),
    (SELECT query FROM queries WHERE tax_id = wanted.tax_id AND asks = wanted.asks ORDER BY taxon LIMIT 1),
    (SELECT query FROM queries WHERE taxon = wanted.taxon AND asks = wanted.asks))
FROM (SELECT key, json_extract(value, '$[0]') AS taxon, json_extract(value, '$[1]') AS tax_id,
    json_extract(value, '$[3]') AS asks FROM json_each(?1)) AS wanted
ORDER BY key


-- name: pasts
-- For each number of ?1 in its order: the status of the last night ?2, the last believed row before tonight ?3, whether
-- any night asked it, and the highest count from night ?4 on. Nothing counts that was before an accepted level, which
-- counts itself where the run in which it was accepted was replaced.
SELECT
    (SELECT status FROM rows INDEXED BY rows_of_a_query WHERE query = wanted.query AND night = ?2 LIMIT 1),
    coalesce(
        (SELECT json_array(night, filters, record_count, resource_updated_on)
            FROM rows INDEXED BY rows_of_a_query WHERE query = wanted.query
            AND night >= since AND night < ?3 AND status IN ('ok', 'empty') ORDER BY night DESC LIMIT 1),
        (SELECT json_array(night, filters, record_count, resource_updated_on) FROM believed
            WHERE query = wanted.query AND night >= since AND night < ?3),
        (SELECT json_array(night, (SELECT filters FROM rows INDEXED BY rows_of_a_query WHERE query = wanted.query LIMIT 1),
            record_count, NULL) FROM accepted WHERE query = wanted.query AND night = since AND record_count IS NOT NULL)),
    (SELECT max(record_count) FROM rows INDEXED BY rows_of_a_query WHERE query = wanted.query
        AND night >= max(?4, since) AND night < ?3 AND status IN ('ok', 'empty')),
    EXISTS (SELECT 1 FROM rows INDEXED BY rows_of_a_query WHERE query = wanted.query AND night < ?3)
FROM (SELECT key, value AS query,
    coalesce((SELECT max(night) FROM accepted WHERE query = value AND night < ?3), '') AS since
    FROM json_each(?1)) AS wanted
ORDER BY key


-- name: stood
-- Whether the taxon of each of ?1 had a filter set of that name on the last night ?2.
SELECT EXISTS (SELECT 1 FROM queries JOIN rows INDEXED BY rows_of_a_query USING (query)
        WHERE queries.taxon = wanted.taxon AND night = ?2 AND rows.filter_set = wanted.filter_set)
    OR EXISTS (SELECT 1 FROM queries JOIN rows INDEXED BY rows_of_a_query USING (query)
        WHERE queries.tax_id = wanted.tax_id AND night = ?2 AND rows.filter_set = wanted.filter_set)
FROM (SELECT key, json_extract(value, '$[0]') AS taxon, json_extract(value, '$[1]') AS tax_id,
    json_extract(value, '$[2]') AS filter_set FROM json_each(?1)) AS wanted
ORDER BY key


-- name: doubtful since
-- For each number of ?1 the last night before tonight ?2 on which it was believed, and what came first behind that: a
-- night with a doubtful row, or one of ?3, those without a table.
SELECT query, min(
    coalesce((SELECT min(night) FROM rows INDEXED BY rows_of_a_query
        WHERE query = wanted.query AND night > coalesce(good, '')), ?2),
    coalesce((SELECT min(value) FROM json_each(?3) WHERE value > good), ?2), ?2)
FROM (SELECT value AS query, (SELECT max(night) FROM rows INDEXED BY rows_of_a_query
    WHERE query = value AND night < ?2 AND status IN ('ok', 'empty')) AS good FROM json_each(?1)) AS wanted


-- name: keep answers
-- A replaced answer is kept: it may be of the same moment as the answer to the other edge of a window.
INSERT INTO answers (run, request, round, status, answer, attempts) VALUES ROWS
ON CONFLICT DO UPDATE SET round = excluded.round, status = excluded.status, answer = excluded.answer,
    attempts = excluded.attempts,
    earlier = earlier || CASE answers.status WHEN 'answered' THEN answers.answer || char(10) ELSE '' END
