package fault

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// maxFaults bounds a Set, so that a script that adds faults in a loop fails instead of exhausting memory.
const maxFaults = 1000

// Set holds the faults of one provider. It is safe for concurrent use.
type Set struct {
	name string
	// armed is false while the set is empty, which is nearly always; requests then skip the lock.
	armed atomic.Bool

	mu     sync.Mutex
	next   int
	struck int
	faults []*Fault
	// cleared is closed by the next Clear.
	cleared chan struct{}
}

// NewSet returns an empty set; name starts the identifiers of its faults.
func NewSet(name string) *Set { return &Set{name: name, cleared: make(chan struct{})} }

// Add validates f, gives it an identifier and puts it behind the others.
func (s *Set) Add(f Fault) (Fault, error) {
	if err := f.Validate(); err != nil {
		return Fault{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) >= maxFaults {
		return Fault{}, errFull
	}
	s.next++
	f.ID = s.name + "-" + strconv.Itoa(s.next)
	s.faults = append(s.faults, &f)
	s.armed.Store(true)
	return f, nil
}

// List returns the live faults in matching order.
func (s *Set) List() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Fault, len(s.faults))
	for i, f := range s.faults {
		out[i] = *f
	}
	return out
}

// Remove deletes the fault with that identifier and reports whether there was one.
func (s *Set) Remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(f *Fault) bool { return f.ID == id })
	s.armed.Store(len(s.faults) > 0)
	return len(s.faults) < before
}

// Clear removes all faults and returns how many there were.
func (s *Set) Clear() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.faults)
	s.faults = nil
	s.armed.Store(false)
	close(s.cleared)
	s.cleared = make(chan struct{})
	return n
}

// Struck returns how often a fault of the set has been used, removed ones included.
func (s *Set) Struck() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.struck
}

// Plan is what the faults do to a command of a protocol that is not HTTP.
type Plan struct {
	// Delay is the time to wait first.
	Delay time.Duration
	// Fault is what happens then; nil for nothing.
	Fault *Fault
	// Cleared is closed when the faults are cleared: a fault without an end, such as Hang, ends then.
	Cleared <-chan struct{}
}

// Take uses up the faults that act on a command. The request stands for the command: the faults match its path and method.
func (s *Set) Take(r *http.Request) Plan {
	if !s.armed.Load() {
		return Plan{}
	}
	p := s.take(r)
	return Plan{Delay: p.delay, Fault: p.act, Cleared: p.cleared}
}

// plan is what the faults do to a request.
type plan struct {
	delay   time.Duration
	act     *Fault
	cleared <-chan struct{}
}

// take uses up the faults that act on the whole of r.
func (s *Set) take(r *http.Request) plan {
	var p plan
	s.use(r, request, func(f Fault) bool {
		if f.Kind == Latency {
			p.delay += f.Delay
			return true
		}
		if p.act != nil {
			return false
		}
		p.act, p.cleared = &f, s.cleared
		return true
	})
	return p
}

// StreamPlan is what the faults do to a stream.
type StreamPlan struct {
	// Pace is the time before each delta; nil when no fault sets it.
	Pace *time.Duration
	// End is the fault that ends or stalls the stream (Cut, EOF, StreamError or Stall), or nil.
	End *Fault
}

// TakeStream uses up the stream faults that match r. The handler calls it once, after it has read that r asks for a
// stream. A nil Set has no faults.
func (s *Set) TakeStream(r *http.Request) StreamPlan {
	var p StreamPlan
	if s == nil {
		return p
	}
	s.use(r, stream, func(f Fault) bool {
		switch {
		case f.Kind == Pace && p.Pace == nil:
			p.Pace = &f.Delay
		case f.Kind != Pace && p.End == nil:
			p.End = &f
		default:
			return false
		}
		return true
	})
	return p
}

// TakeResponse uses up the first fault that acts on a response which runs in the background and is created by r; nil for none. The handler
// calls it once for each such response. A nil Set has no faults.
func (s *Set) TakeResponse(r *http.Request) (found *Fault) {
	if s == nil {
		return nil
	}
	s.use(r, response, func(f Fault) bool {
		if found != nil {
			return false
		}
		found = &f
		return true
	})
	return found
}

// use offers each matching fault to want, and counts down those that it takes.
func (s *Set) use(r *http.Request, on scope, want func(Fault) bool) {
	if !s.armed.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = slices.DeleteFunc(s.faults, func(f *Fault) bool {
		if f.Kind.scope() != on || !f.matches(r) || !want(*f) {
			return false
		}
		s.struck++
		if f.Count == 0 {
			return false
		}
		f.Count--
		return f.Count == 0
	})
	s.armed.Store(len(s.faults) > 0)
}
