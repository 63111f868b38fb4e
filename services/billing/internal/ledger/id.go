package ledger

import (
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// ids makes ids that grow with time: milliseconds, a counter that orders what one process makes within one of them, and
// randomness that keeps processes apart.
type ids struct{ count atomic.Uint32 }

func (i *ids) make(prefix string, at time.Time) string {
	return sortable(prefix, at, uint16(i.count.Add(1)), rand.Uint64()) //nolint:gosec // wraps on purpose; guards nothing
}

func sortable(prefix string, at time.Time, count uint16, random uint64) string {
	raw := make([]byte, 0, 16)
	raw = binary.BigEndian.AppendUint64(raw, uint64(at.UnixMilli())<<16|uint64(count))
	return encode(prefix, binary.BigEndian.AppendUint64(raw, random))
}

// NoticeID makes the id of a notice.
func NoticeID(at time.Time) string { return sortable(prefixNotice, at, 0, rand.Uint64()) } //nolint:gosec // guards nothing

// Prefixes of ids.
const (
	prefixHold  = "hold_"
	prefixGrant = "grant_"
	prefixEntry = "ent_"
	prefixUsage = "usage_"
	// prefixCharge begins the ids of charges of overage.
	prefixCharge = "ovc_"
	prefixNotice = "ntc_"
	// prefixLimit begins the ids of spend limits.
	prefixLimit = "limit_"
)

// encoding keeps the order of bytes.
var encoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// encode makes an id of a prefix and bytes. It keeps the order of bytes.
func encode(prefix string, b []byte) string {
	var text [64]byte // is large enough for all ids
	return string(encoding.AppendEncode(append(text[:0], prefix...), b))
}
