package stripe

// TestClock is Stripe's test clock: the time of the customers that were made with it.
type TestClock struct {
	ID           string  `json:"id"`
	Object       string  `json:"object"`
	Created      int64   `json:"created"`
	DeletesAfter int64   `json:"deletes_after"`
	FrozenTime   int64   `json:"frozen_time"`
	Livemode     bool    `json:"livemode"`
	Name         *string `json:"name"`
	Status       string  `json:"status"`
}

// timeOf is the customer's time: that of its test clock when it has one.
func (f *Fake) timeOf(cus Customer) int64 {
	if clock, ok := f.clocks.Get(orEmpty(cus.TestClock)); ok {
		return clock.FrozenTime
	}
	return f.now()
}

// setClock moves a clock without an event.
func (f *Fake) setClock(id string, to int64) *apiError {
	clock, ok := f.clocks.Get(id)
	if !ok || to <= clock.FrozenTime {
		return nil
	}
	clock.FrozenTime = to
	return stored(f.clocks.Insert(id, clock))
}

func (f *Fake) createClock(c *call) (any, *apiError) {
	at := c.form.integer("frozen_time")
	if at == nil && *c.form.err == nil {
		return nil, missingParam("frozen_time")
	}
	clock := TestClock{
		ID: f.ids.Next("clock_1", 23), Object: "test_helpers.test_clock", Created: f.now(), DeletesAfter: f.now() + 30*day, FrozenTime: orZero(at), Status: "ready",
	}
	c.form.optional("name", &clock.Name)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return clock, save(f, f.clocks, clock.ID, clock, "test_helpers.test_clock.created")
}

func (f *Fake) clock(id string) (TestClock, *apiError) {
	clock, ok := f.clocks.Get(id)
	if !ok {
		return TestClock{}, noSuch("test_helpers.test_clock", "id", id)
	}
	return clock, nil
}

func (f *Fake) getClock(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.clock(c.id))
}

// advanceClock goes through all that happens until then, at once: the real one takes a while, and says "advancing".
func (f *Fake) advanceClock(c *call) (any, *apiError) {
	clock, bad := f.clock(c.id)
	if bad != nil {
		return nil, bad
	}
	to := c.form.integer("frozen_time")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if orZero(to) < clock.FrozenTime {
		return nil, invalidRequest("frozen_time", "", "The test clock can only be advanced, to a time after its own.")
	}
	if _, bad := f.advance(*to, clock.ID); bad != nil {
		return nil, bad
	}
	clock.FrozenTime = *to
	return clock, save(f, f.clocks, clock.ID, clock, "test_helpers.test_clock.advancing", "test_helpers.test_clock.ready")
}

func (f *Fake) deleteClock(c *call) (any, *apiError) {
	clock, bad := f.clock(c.id)
	if bad != nil {
		return nil, bad
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	for _, cus := range f.customers.All(func(cus Customer) bool { return orEmpty(cus.TestClock) == clock.ID }) {
		if bad := f.removeCustomer(cus); bad != nil {
			return nil, bad
		}
	}
	if bad := stored(f.clocks.Delete(clock.ID)); bad != nil {
		return nil, bad
	}
	f.emit("test_helpers.test_clock.deleted", clock.ID, clock)
	return deletedObject{clock.ID, "test_helpers.test_clock", true}, nil
}

func (f *Fake) listClocks(c *call) (any, *apiError) {
	page := c.form.cursor()
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.clocks, page, "test_helpers.test_clock", "/v1/test_helpers/test_clocks", func(t TestClock) string { return t.ID }, func(TestClock) bool { return true }))
}
