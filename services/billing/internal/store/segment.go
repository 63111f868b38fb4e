package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// A segment is the records of calls that were folded together, as bytes: a version, the number of records, and the fields of each. Numbers
// are varints. A text that occurred before in the segment is a reference to it.

// segmentVersion 2 has the fields of ledger.CallLog, which version 1 lacks, and 3 has the ids of HTTP requests.
const segmentVersion = 3

// detailedVersion has the details of usage, too. Only segments with details have it, so that replicas of an earlier version can read the others.
const detailedVersion = 4

var errSegment = errors.New("the segment's bytes are damaged")

// encodeSegment writes records. Account and id are not in them: they are the row's.
func encodeSegment(records []ledger.UsageRecord) []byte {
	version := byte(segmentVersion)
	if slices.ContainsFunc(records, func(r ledger.UsageRecord) bool { return r.Details != "" }) {
		version = detailedVersion
	}
	w := &segmentWriter{raw: append(make([]byte, 0, recordSize*(len(records)+1)), version)}
	if len(records) > 1 {
		w.known = make(map[string]uint64, textsOfRecord)
	}
	w.number(int64(len(records)))
	for _, r := range records {
		for _, text := range [...]string{r.HoldID, r.RequestID, r.UserID, r.APIKeyID, r.Model, string(r.Outcome), r.ProviderRequestID, r.Target, r.ServedModel, r.ErrorCode, r.HTTPRequestID} {
			w.text(text)
		}
		if version >= detailedVersion {
			w.text(r.Details)
		}
		estimated := int64(0)
		if r.Estimated {
			estimated = 1
		}
		for _, n := range [...]int64{
			r.Usage.Input, r.Usage.CachedInput, r.Usage.Output, r.Usage.Reasoning, r.Cost, estimated, r.SettleTime.UnixMicro() - w.last,
			r.Latency.Microseconds(), r.FirstByte.Microseconds(),
		} {
			w.number(n)
		}
		w.last = r.SettleTime.UnixMicro()
	}
	return w.raw
}

const (
	// recordSize is about the size of a record alone, in bytes.
	recordSize = 128
	// textsOfRecord is how many texts a record has.
	textsOfRecord = 12
)

type segmentWriter struct {
	raw []byte
	// known are the texts so far, by their number. One record alone has so few that they are compared instead: its texts are in alone.
	known map[string]uint64
	alone [textsOfRecord]string
	texts uint64
	last  int64
}

func (w *segmentWriter) number(n int64) { w.raw = binary.AppendVarint(w.raw, n) }

func (w *segmentWriter) text(s string) {
	if at := w.find(s); at > 0 {
		w.raw = binary.AppendUvarint(w.raw, at)
		return
	}
	w.texts++
	if w.known != nil {
		w.known[s] = w.texts
	} else {
		w.alone[w.texts-1] = s
	}
	w.raw = binary.AppendUvarint(w.raw, 0)
	w.raw = binary.AppendUvarint(w.raw, uint64(len(s)))
	w.raw = append(w.raw, s...)
}

// find returns the number of a text that occurred before; 0 when it did not.
func (w *segmentWriter) find(s string) uint64 {
	if w.known != nil {
		return w.known[s]
	}
	return uint64(slices.Index(w.alone[:w.texts], s) + 1)
}

// decodeSegment reads the records of a segment of an account.
func decodeSegment(accountID, id string, raw []byte) ([]ledger.UsageRecord, error) {
	r := &segmentReader{raw: raw, texts: string(raw), known: make([]string, 0, textsOfRecord)}
	if r.version = r.octet(); r.version < 1 || r.version > detailedVersion {
		if !r.bad {
			return nil, fmt.Errorf("segment %s has version %d, which this program does not know", id, r.version)
		}
	}
	count := r.number()
	if count < 0 || count > int64(len(raw)) {
		r.bad = true
	}
	var records []ledger.UsageRecord
	for i := int64(0); i < count && !r.bad; i++ {
		records = append(records, r.record(accountID, id+"."+strconv.FormatInt(i, 10)))
	}
	if r.bad || len(r.raw) > 0 {
		return nil, fmt.Errorf("segment %s: %w", id, errSegment)
	}
	return records, nil
}

type segmentReader struct {
	version byte
	// raw is what is not read yet, the end of texts. The texts of all records are parts of texts, so that reading one makes no copy of it.
	raw   []byte
	texts string
	known []string
	last  int64
	bad   bool
}

func (r *segmentReader) record(accountID, id string) ledger.UsageRecord {
	u := ledger.UsageRecord{ID: id, AccountID: accountID}
	u.HoldID, u.RequestID, u.UserID, u.APIKeyID, u.Model = r.text(), r.text(), r.text(), r.text(), r.text()
	u.Outcome, u.ProviderRequestID = ledger.Outcome(r.text()), r.text()
	if r.version >= 2 {
		u.Target, u.ServedModel, u.ErrorCode = r.text(), r.text(), r.text()
	}
	if r.version >= 3 {
		u.HTTPRequestID = r.text()
	}
	if r.version >= detailedVersion {
		u.Details = r.text()
	}
	u.Usage = ledger.Usage{Input: r.number(), CachedInput: r.number(), Output: r.number(), Reasoning: r.number()}
	u.Cost, u.Estimated = r.number(), r.number() == 1
	r.last += r.number()
	u.SettleTime = time.UnixMicro(r.last).UTC()
	if r.version >= 2 {
		u.Latency, u.FirstByte = r.duration(), r.duration()
	}
	return u
}

func (r *segmentReader) octet() (b byte) {
	if len(r.raw) == 0 {
		r.bad = true
		return 0
	}
	b, r.raw = r.raw[0], r.raw[1:]
	return b
}

func (r *segmentReader) number() int64 {
	n, size := binary.Varint(r.raw)
	if size <= 0 {
		r.bad = true
		return 0
	}
	r.raw = r.raw[size:]
	return n
}

// duration reads microseconds; what no duration can hold is damage.
func (r *segmentReader) duration() time.Duration {
	n := r.number()
	if n < 0 || n > int64(math.MaxInt64/time.Microsecond) {
		r.bad = true
		return 0
	}
	return time.Duration(n) * time.Microsecond
}

func (r *segmentReader) size() uint64 {
	n, size := binary.Uvarint(r.raw)
	if size <= 0 {
		r.bad = true
		return 0
	}
	r.raw = r.raw[size:]
	return n
}

func (r *segmentReader) text() string {
	at := r.size()
	if at > 0 {
		if at > uint64(len(r.known)) {
			r.bad = true
			return ""
		}
		return r.known[at-1]
	}
	n := r.size()
	if r.bad || n > uint64(len(r.raw)) {
		r.bad = true
		return ""
	}
	from := len(r.texts) - len(r.raw)
	s := r.texts[from : from+int(n)]
	r.raw, r.known = r.raw[n:], append(r.known, s)
	return s
}
