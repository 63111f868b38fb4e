package smtp

import (
	"hash/maphash"
	"strings"
	"sync"
)

// everyone is how many recipients a server refuses, with none accepted in between, until its refusals count as refusals of every mail.
const everyone = 3

// recipients remembers who was refused at RCPT since the server last accepted a recipient. Servers use the same replies, such as 554 5.7.1, for one
// recipient and for a sender or a client that may not send: only the replies to several recipients tell them apart. It stores hashes, and at most
// everyone of them. It is safe for concurrent use.
type recipients struct {
	seed    maphash.Seed
	mu      sync.Mutex
	refused map[uint64]bool
}

func newRecipients() *recipients {
	return &recipients{seed: maphash.MakeSeed(), refused: map[uint64]bool{}}
}

// refuse records a refusal, and reports whether it concerns this recipient only, as far as is known.
func (r *recipients) refuse(address string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refused) < everyone {
		r.refused[maphash.String(r.seed, strings.ToLower(address))] = true
	}
	return len(r.refused) < everyone
}

// accept records that the server accepted a recipient.
func (r *recipients) accept() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.refused)
}
