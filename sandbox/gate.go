package sandbox

import (
	"context"
	"net/http"
	"sync"
)

// gate counts running requests and background work, and admits no more once it is shut.
type gate struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // nil until shut; closed when nothing runs
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.idle != nil {
		return false
	}
	g.running++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	if g.idle != nil && g.running == 0 {
		close(g.idle)
	}
}

// shut closes the gate and returns a channel that is closed when nothing runs any more.
func (g *gate) shut() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.idle == nil {
		g.idle = make(chan struct{})
		if g.running == 0 {
			close(g.idle)
		}
	}
	return g.idle
}

// wrap runs next for requests that the gate admits. Their contexts also end with ctx.
func (g *gate) wrap(ctx context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.enter() {
			refuse(w, http.StatusServiceUnavailable, "the sandbox is closing")
			return
		}
		defer g.leave()
		own, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		next.ServeHTTP(w, r.WithContext(own))
	})
}
