package job

import "time"

// WithMachineClock has a run compare that clock with the database server's, instead of the machine's.
func (o Options) WithMachineClock(now func() time.Time) Options {
	o.Now, o.local = now, now
	return o
}
