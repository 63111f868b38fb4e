package inbox

import (
	"reflect"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
)

// Statements are all that the queue runs regularly, by name, for tests of their plans.
func Statements(d database.Dialect) map[string]string {
	s := newStatements(d)
	all := map[string]string{
		"count": countQuery, "redrive": redriveDead,
		"expired payloads": "DELETE FROM inbox_payload WHERE seq IN " + expiredPayloads, "expired rows": "DELETE FROM inbox_event WHERE seq IN " + expiredRows,
	}
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if query := v.Field(i).String(); query != "" {
			all[v.Type().Field(i).Name] = query
		}
	}
	return all
}

// WakesWhenStarved reports whether the dispatcher looks for work again at once when it found some for which no worker was
// free; ended says that a worker has become free since it looked.
func WakesWhenStarved(ended bool) bool {
	in := &Inbox{signal: make(chan struct{}, 1)}
	d := &dispatcher{in: in, busy: map[string]int{}}
	seen := d.ends
	if ended {
		d.ended("s", false)
	}
	d.starve(seen)
	return len(in.signal) > 0
}

// WithMachineClock has the inbox compare that clock with the database server's, instead of the machine's.
func (in *Inbox) WithMachineClock(now func() time.Time) { in.local = now }

// Time is the inbox's time.
func (in *Inbox) Time() time.Time { return in.now() }
