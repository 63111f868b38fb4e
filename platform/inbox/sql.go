package inbox

import "github.com/trivet-dev/trivet/platform/database"

// statements are the queue's SQL. A subject's row is its lock: whoever holds a lease has its token there, and changes the
// subject's events only in a transaction that holds the row. A Put touches no such row, so it never waits for a worker.
//
// On PostgreSQL a claim never waits either: it skips what is locked. So no two transactions wait for each other in a circle,
// though each holds many subjects.
type statements struct {
	put, putPayload           string
	revive, replacePayload    string
	due, ready, quiet, insert string
	try, take, retake, next   string
	hold, done, dead, again   string
	drop, lease, extend       string
	failed, trim, failures    string
	orphans, exclusive        string
}

// columns are a Record's, as scanRecord takes them.
const columns = `seq, source, id, type, subject, state, attempts, last_error, put_time, due_time, end_time`

// The condition of the index inbox_event_active; SQLite uses it only where the text is the same.
const active = `state IN ('pending', 'leased')`

// The events of a lease: the one that is in force, as a subject has one, and retake clears what a dead one left.
const leased = `source = $1 AND subject = $2 AND state = 'leased' AND ` + active

func newStatements(d database.Dialect) statements {
	s := statements{
		put: `INSERT INTO inbox_event (source, id, type, subject, state, ready, attempts, last_error, put_time, due_time, end_time,
			expire_time, delete_time) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (source, id) DO NOTHING RETURNING seq`,
		putPayload: `INSERT INTO inbox_payload (seq, payload, trace) VALUES ($1, $2, $3)`,
		revive: `UPDATE inbox_event SET type = $3, subject = $4, state = 'pending', ready = TRUE, attempts = 0, due_time = $5,
			end_time = NULL, expire_time = NULL, delete_time = NULL WHERE source = $1 AND id = $2 AND state IN ('dead', 'ignored') RETURNING seq`,
		replacePayload: `INSERT INTO inbox_payload (seq, payload, trace) VALUES ($1, $2, $3)
			ON CONFLICT (seq) DO UPDATE SET payload = excluded.payload, trace = excluded.trace`,

		// Claiming: subjects whose pause is over or whose lease ran out, then events that nobody has looked at yet.
		due: `SELECT subject, token FROM inbox_subject WHERE source = $1 AND due_time <= $2 ORDER BY due_time LIMIT $3`,
		ready: `SELECT e.seq, e.subject, s.subject IS NOT NULL FROM inbox_event AS e
			LEFT JOIN inbox_subject AS s ON s.source = e.source AND s.subject = e.subject
			WHERE e.source = $1 AND e.ready ORDER BY e.seq LIMIT $2`,
		insert: `INSERT INTO inbox_subject (source, subject, token, due_time) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		try:    `SELECT 1 FROM inbox_subject WHERE source = $1 AND subject = $2`,
		// The subject's row answers for these events from now on.
		quiet:  `UPDATE inbox_event SET ready = FALSE WHERE source = $1 AND subject = $2 AND seq <= $3 AND ready AND ` + active,
		retake: `UPDATE inbox_event SET state = 'pending' WHERE ` + leased,
		take: `UPDATE inbox_event SET state = 'leased', ready = FALSE, attempts = attempts + 1, due_time = $3
			WHERE seq IN (SELECT seq FROM inbox_event WHERE source = $1 AND subject = $2 AND ` + active + ` ORDER BY seq LIMIT $4)
			RETURNING ` + columns,
		next: `SELECT min(due_time) FROM inbox_subject WHERE source = $1`,

		// Ending an attempt: hold the subject, change its leased events, give the subject on.
		hold: `SELECT token FROM inbox_subject WHERE source = $1 AND subject = $2`,
		done: `UPDATE inbox_event SET state = 'done', last_error = '', due_time = 0, end_time = $3, expire_time = $4, delete_time = $5 WHERE ` + leased,
		dead: `UPDATE inbox_event SET state = 'dead', due_time = 0, last_error = $3, end_time = $4 WHERE attempts >= $5 AND ` + leased,
		again: `UPDATE inbox_event SET state = 'pending', due_time = $3, attempts = attempts - $4,
			last_error = COALESCE(NULLIF($5, ''), last_error) WHERE ` + leased,
		failed: `INSERT INTO inbox_failure (seq, attempt, begin_time, end_time, error)
			SELECT seq, attempts, $3, $4, $5 FROM inbox_event WHERE ` + leased + ` ORDER BY seq`,
		trim: `DELETE FROM inbox_failure WHERE seq = $1 AND n <= (
			SELECT n FROM inbox_failure WHERE seq = $1 ORDER BY n DESC LIMIT 1 OFFSET $2)`,
		failures: `SELECT attempt, begin_time, end_time, error FROM inbox_failure WHERE seq = $1 ORDER BY n`,
		drop: `DELETE FROM inbox_subject WHERE source = $1 AND subject = $2
			AND NOT EXISTS (SELECT 1 FROM inbox_event AS e WHERE e.source = $1 AND e.subject = $2 AND e.` + active + `)`,
		lease: `UPDATE inbox_subject SET token = $3, due_time = $4 WHERE source = $1 AND subject = $2`,
		// Whoever finds them due takes them over, as it does those that ran out.
		orphans: `UPDATE inbox_subject SET due_time = $2 WHERE source = $1 AND due_time > $2 AND token <> 0`,
		extend:  `UPDATE inbox_subject SET due_time = $4 WHERE source = $1 AND subject = $2 AND token = $3`,
	}
	if d == database.Postgres {
		s.forPostgres()
	}
	return s
}

func (s *statements) forPostgres() {
	// One round trip.
	s.put = `WITH e AS (` + s.put + `), p AS (INSERT INTO inbox_payload (seq, payload, trace)
		SELECT seq, CAST($13 AS BYTEA), CAST($14 AS TEXT) FROM e)
		SELECT seq FROM e`
	s.putPayload = ""
	s.due += ` FOR UPDATE SKIP LOCKED`
	s.try += ` FOR UPDATE SKIP LOCKED`
	s.hold += ` FOR UPDATE`
	// A row that another transaction has inserted, but not committed, would be waited for: the lock tells of it.
	s.insert = `INSERT INTO inbox_subject (source, subject, token, due_time)
		SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS BIGINT)
		WHERE pg_try_advisory_xact_lock(hashtextextended(current_schema() || '/inbox/' || CAST($1 AS TEXT) || '/' || CAST($2 AS TEXT), 0))
		ON CONFLICT DO NOTHING`
	s.exclusive = `SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '/inbox', 1))`
}
