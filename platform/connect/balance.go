package connect

import (
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// policy is the name under which gRPC knows the balancer.
	policy = "trivet_round_robin"
	// suspicion is how long a replica that did not answer gets no call but one that tries it.
	suspicion = 3 * time.Second
	// untried is after how long without a call that can move on any other call tries a suspect replica.
	untried = 20 * time.Second
)

// gRPC finds balancers by name, in a registry that is filled before the program starts.
var _ = register() //nolint:gochecknoglobals // see above

func register() bool {
	balancer.Register(balancerBuilder{})
	return true
}

// balancerBuilder makes one balancer for each connection.
type balancerBuilder struct{}

// Name is the name in the service config.
func (balancerBuilder) Name() string { return policy }

// Build makes a balancer with its own memory of replicas.
func (balancerBuilder) Build(cc balancer.ClientConn, options balancer.BuildOptions) balancer.Balancer {
	return base.NewBalancerBuilder(policy, &pickers{known: map[balancer.SubConn]*replica{}}, base.Config{}).Build(cc, options)
}

// replica is one process of a service.
type replica struct {
	conn balancer.SubConn
	// suspectUntil is until when the replica is avoided, in nanoseconds since 1970; 0 while it answers.
	suspectUntil atomic.Int64
	// accepts says that the replica tells when it accepts a stream; an older version does not, and its silence means nothing.
	accepts atomic.Bool
}

// available reports whether the replica may get a call. Of a suspect replica that was avoided long enough it is true once: this call
// tries it. A call that cannot move on does not try a replica while others may do so.
func (r *replica) available(now time.Time, a *attempt) bool {
	until := r.suspectUntil.Load()
	if until == 0 {
		return true
	}
	if a == nil || a.stream && !r.accepts.Load() {
		now = now.Add(-untried)
	}
	return now.UnixNano() >= until && r.suspectUntil.CompareAndSwap(until, time.Now().Add(suspicion).UnixNano())
}

// pickers makes a picker for each change of the connected replicas. gRPC calls it from one goroutine at a time.
type pickers struct {
	known  map[balancer.SubConn]*replica
	newest atomic.Pointer[picker]
}

// Build implements base.PickerBuilder.
func (p *pickers) Build(info base.PickerBuildInfo) balancer.Picker {
	if len(info.ReadySCs) == 0 {
		p.known = map[balancer.SubConn]*replica{} // another version may run when the connection is back
		p.newest.Store(&picker{all: p})
		return base.NewErrPicker(balancer.ErrNoSubConnAvailable)
	}
	known := make(map[balancer.SubConn]*replica, len(info.ReadySCs))
	picker := &picker{all: p, replicas: make([]*replica, 0, len(info.ReadySCs))}
	for conn := range info.ReadySCs {
		r := p.known[conn]
		if r == nil {
			r = &replica{conn: conn}
		}
		known[conn] = r
		picker.replicas = append(picker.replicas, r)
	}
	p.known = known
	p.newest.Store(picker)
	return picker
}

// picker gives calls to the replicas in turn, and avoids those that do not answer.
type picker struct {
	all      *pickers
	replicas []*replica
	turn     atomic.Uint64
}

// newest is the picker of the replicas that are connected now: a stream may live longer than the one that it was picked by.
func (p *picker) newest() *picker { return p.all.newest.Load() }

// Pick implements balancer.Picker.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	a := attemptFrom(info.Ctx)
	var r *replica
	switch {
	case a == nil:
		r = p.next(time.Now(), nil, nil)
	case a.single:
		r = p.next(time.Now(), nil, nil)
		a.picked.Store(&pick{replica: r, from: p})
		a = nil
	case a.batch != nil:
		r = a.batch.choose(p, a)
	default:
		r = p.next(time.Now(), a, nil)
		a.picked.Store(&pick{replica: r, from: p})
	}
	return balancer.PickResult{SubConn: r.conn, Done: func(done balancer.DoneInfo) { r.done(a, done) }}, nil
}

// next returns the next replica that answers and is not to be avoided, if there is one.
func (p *picker) next(now time.Time, a *attempt, avoid []*replica) *replica {
	n := uint64(len(p.replicas))
	first := p.turn.Add(1)
	for i := range n {
		if r := p.replicas[(first+i)%n]; len(avoid) > 0 && !slices.Contains(avoid, r) && r.available(now, a) {
			return r
		}
	}
	for i := range n {
		if r := p.replicas[(first+i)%n]; r.available(now, a) {
			return r
		}
	}
	return p.replicas[first%n] // all are suspect
}

// elsewhere reports whether a replica other than r answers.
func (p *picker) elsewhere(r *replica) bool {
	for _, other := range p.newest().replicas {
		if other != r && other.suspectUntil.Load() == 0 {
			return true
		}
	}
	return false
}

// done learns from how a call ended.
func (r *replica) done(a *attempt, info balancer.DoneInfo) {
	switch {
	case a != nil && a.batch != nil: // its reader knows more
	case info.BytesReceived:
		r.suspectUntil.Store(0)
	case a != nil && a.left(), status.Code(info.Err) == codes.DeadlineExceeded:
		r.suspect()
	}
}

func (r *replica) suspect() { r.suspectUntil.Store(time.Now().Add(suspicion).UnixNano()) }
