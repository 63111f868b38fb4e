package stripe

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"
)

const (
	// keyLife is how long Stripe remembers an idempotency key.
	keyLife = 24 * time.Hour
	// maxKey is the length of a key, in bytes.
	maxKey = 255
	// maxReplays bounds the remembered answers; the oldest goes first.
	maxReplays = 100_000
)

// replay is what is remembered of a request with an idempotency key.
type replay struct {
	key     string
	print   [sha256.Size]byte // of method, path and body
	request string            // the first request's id
	at      time.Time
	done    bool
	answer  answer
}

// replays remembers the answers by key. Its fake's lock protects it.
type replays struct {
	now   func() time.Time
	byKey map[string]*replay
	order []*replay
}

func newReplays(now func() time.Time) *replays {
	return &replays{now: now, byKey: map[string]*replay{}}
}

// begin returns what is known of a key, or notes that its first request is on its way.
func (s *replays) begin(key string, fresh *replay) *replay {
	if known, ok := s.byKey[key]; ok && s.now().Sub(known.at) < keyLife {
		return known
	}
	fresh.at = s.now()
	s.byKey[key] = fresh
	s.order = append(s.order, fresh)
	if len(s.order) > maxReplays {
		s.forget(s.order[0])
		s.order = s.order[1:]
	}
	return nil
}

// forget drops an answer, unless its key has been reused since.
func (s *replays) forget(r *replay) {
	if s.byKey[r.key] == r {
		delete(s.byKey, r.key)
	}
}

// once runs a request with an idempotency key, or replays the answer to its first run.
func (f *Fake) once(w http.ResponseWriter, r *http.Request, key string, body []byte, e endpoint) {
	if len(key) > maxKey {
		writeError(w, invalidRequest("", "", fmt.Sprintf("Idempotency keys may have at most %d characters.", maxKey)))
		return
	}
	fresh := &replay{key: key, print: fingerprint(r, body), request: w.Header().Get("Request-Id")}
	f.mu.Lock()
	known := f.replays.begin(key, fresh)
	var earlier replay
	if known != nil {
		earlier = *known
	}
	f.mu.Unlock()
	w.Header().Set("Idempotency-Key", key)
	if known != nil {
		again(w, earlier, fresh.print, key)
		return
	}
	w.Header().Set("Original-Request", fresh.request)
	a := f.run(e, r, body, fresh.request)
	f.mu.Lock()
	fresh.done, fresh.answer = true, a
	if a.status >= 400 && a.status < 500 && a.status != http.StatusPaymentRequired {
		// Stripe remembers only requests that began to run, such as those that the bank declines. A rejected one may be corrected and sent again.
		f.replays.forget(fresh)
	}
	f.mu.Unlock()
	a.write(w)
}

func fingerprint(r *http.Request, body []byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte(r.Method+" "+r.URL.Path+"\n"), body...))
}

// again answers a request whose key is known.
func again(w http.ResponseWriter, first replay, print [sha256.Size]byte, key string) {
	switch {
	case first.print != print:
		writeError(w, &apiError{
			status: http.StatusBadRequest, Type: typeIdempotency,
			Message: fmt.Sprintf("Keys for idempotent requests can only be used with the same parameters they were first used with. "+
				"Try using a key other than '%s' if you meant to execute a different request.", key),
		})
	case !first.done:
		writeError(w, &apiError{
			status: http.StatusConflict, Type: typeIdempotency, Code: "idempotency_key_in_use",
			Message: fmt.Sprintf("There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, "+
				"and the other request is still going through): %s. Please try again later.", key),
		})
	default:
		w.Header().Set("Idempotent-Replayed", "true")
		w.Header().Set("Original-Request", first.request)
		w.Header().Set("Request-Id", first.request)
		first.answer.write(w)
	}
}
