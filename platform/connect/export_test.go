package connect

import "time"

// BatchedRepeatable counts the calls that travel in batches and may be repeated; -1 when one may not.
func BatchedRepeatable() int {
	for method := range batched {
		if !repeatable[method] {
			return -1
		}
	}
	return len(batched)
}

// MaxOpen bounds the streams of batches of a connection.
const MaxOpen = maxOpen

// AgeBatches sets when streams of batches are replaced.
func AgeBatches(c *Conn, age time.Duration) {
	for _, b := range c.batches {
		b.mu.Lock()
		b.laneAge = age
		b.mu.Unlock()
	}
}

// ReplaceBatches makes the present streams of batches old.
func ReplaceBatches(c *Conn) {
	eachLane(c, func(l *lane) { l.opened = time.Time{} })
}

// SuspectReplicas makes the replicas that have a stream of batches suspect.
func SuspectReplicas(c *Conn) {
	eachLane(c, func(l *lane) {
		if p := l.pick.picked.Load(); p != nil {
			p.replica.suspect()
		}
	})
}

// OpenBatches counts the streams of batches.
func OpenBatches(c *Conn) (n int) {
	eachLane(c, func(*lane) { n++ })
	return n
}

func eachLane(c *Conn, do func(l *lane)) {
	for _, b := range c.batches {
		b.mu.Lock()
		for _, l := range b.open {
			l.mu.Lock()
			do(l)
			l.mu.Unlock()
		}
		b.mu.Unlock()
	}
}
