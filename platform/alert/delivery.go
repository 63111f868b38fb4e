package alert

import "sync/atomic"

// delivery counts the messages of some changes that were neither sent nor given up.
type delivery struct {
	left atomic.Int64
	done chan struct{} // closed when none are left
}

// newDelivery makes a delivery that waits for one call of end.
func newDelivery() *delivery {
	d := &delivery{done: make(chan struct{})}
	d.begin()
	return d
}

func (d *delivery) begin() {
	if d != nil {
		d.left.Add(1)
	}
}

func (d *delivery) end() {
	if d != nil && d.left.Add(-1) == 0 {
		close(d.done)
	}
}

func (d *delivery) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}
