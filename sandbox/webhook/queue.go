package webhook

import (
	"container/heap"
	"time"
)

// delivery is a Delivery with its body and its place in the queue.
type delivery struct {
	Delivery
	body []byte
	// due is the time of the next attempt. A flush sets it to the zero time, which sorts first.
	due time.Time
	// order is the place among those that are due at the same time, seq the place in lists.
	order, seq uint64
	index      int // in the queue; -1 when it is not there
	tallies    []*tally
}

func (d *delivery) called() bool { return d.due.IsZero() }

// queue is a heap of pending deliveries by the time when they are due.
type queue []*delivery

// Len is the number of deliveries that wait.
func (q queue) Len() int { return len(q) }

// Less orders by due time, then by arrival.
func (q queue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].order < q[j].order
}

// Swap exchanges two.
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for container/heap.
func (q *queue) Push(x any) {
	d := x.(*delivery) //nolint:forcetypeassert // only add puts something in
	d.index = len(*q)
	*q = append(*q, d)
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	d := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	d.index = -1
	return d
}

func (q *queue) add(d *delivery) { heap.Push(q, d) }

func (q *queue) take() *delivery {
	d := (*q)[0]
	heap.Remove(q, 0)
	return d
}

func (q *queue) remove(d *delivery) {
	if d.index >= 0 {
		heap.Remove(q, d.index)
	}
}
