// Package warm runs short tasks in goroutines that it uses again. A fresh goroutine has a small stack, which grows by copying, once for
// each doubling; for a task of some microseconds that costs more than the goroutine itself.
package warm

import (
	"context"
	"sync"
	"time"
)

const (
	// maxIdle bounds the goroutines that wait for a task.
	maxIdle = 256
	// idleTime is how often goroutines are ended that had nothing to do since the last time.
	idleTime = time.Second
)

// Pool runs tasks. The zero value is ready: it begins a goroutine for each task, and keeps them for the next ones while Run runs. It is
// safe for concurrent use.
type Pool struct {
	mu    sync.Mutex
	keeps bool
	idle  []chan func() // of the goroutines that wait; the last one has worked last
	spare int           // the fewest that have waited since the last sweep
}

// Go runs a task in a goroutine of its own. The caller waits for it, as for one that the go statement began. A task that panics ends
// the process, as there.
func (p *Pool) Go(task func()) {
	if next := p.take(); next != nil {
		next <- task // has room
		return
	}
	go p.work(task)
}

// Run keeps goroutines until ctx ends, at most maxIdle that wait. It returns when those that wait have been told to end.
func (p *Pool) Run(ctx context.Context) {
	p.keep(true)
	defer p.keep(false)
	tick := time.NewTicker(idleTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.sweep()
		}
	}
}

func (p *Pool) keep(keeps bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keeps = keeps
	if !keeps {
		p.end(len(p.idle))
		p.spare = 0
	}
}

// take returns a goroutine that waits; nil if none does.
func (p *Pool) take() chan func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	next := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	p.spare = min(p.spare, last)
	return next
}

func (p *Pool) work(task func()) {
	var next chan func()
	for task != nil {
		task()
		task = nil // or the goroutine would keep what the task refers to
		if next == nil {
			next = make(chan func(), 1)
		}
		if p.wait(next) {
			task = <-next
		}
	}
}

// wait notes that a goroutine waits; false when it is not kept.
func (p *Pool) wait(next chan func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.keeps || len(p.idle) >= maxIdle {
		return false
	}
	p.idle = append(p.idle, next)
	return true
}

// sweep ends the goroutines that had nothing to do since the last sweep.
func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(p.spare)
	p.spare = len(p.idle)
}

// end ends the n goroutines that have waited longest. The caller holds mu.
func (p *Pool) end(n int) {
	for _, next := range p.idle[:n] {
		next <- nil // has room
	}
	kept := copy(p.idle, p.idle[n:])
	clear(p.idle[kept:])
	p.idle = p.idle[:kept]
}
