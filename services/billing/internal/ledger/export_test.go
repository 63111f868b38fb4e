package ledger

import "time"

// SegmentIDAt is the id of a segment whose last call ended then.
func SegmentIDAt(at time.Time) string { return sortable(prefixUsage, at, 0, 0) }
