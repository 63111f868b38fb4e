package stripe

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Meter is Stripe's billing meter.
type Meter struct {
	ID                 string             `json:"id"`
	Object             string             `json:"object"`
	Created            int64              `json:"created"`
	CustomerMapping    CustomerMapping    `json:"customer_mapping"`
	DefaultAggregation Aggregation        `json:"default_aggregation"`
	DisplayName        string             `json:"display_name"`
	EventName          string             `json:"event_name"`
	EventTimeWindow    *string            `json:"event_time_window"`
	Livemode           bool               `json:"livemode"`
	Status             string             `json:"status"`
	StatusTransitions  MeterTransitions   `json:"status_transitions"`
	Updated            int64              `json:"updated"`
	ValueSettings      MeterValueSettings `json:"value_settings"`
}

// CustomerMapping says where a meter event names its customer.
type CustomerMapping struct {
	EventPayloadKey string `json:"event_payload_key"`
	Type            string `json:"type"`
}

// Aggregation says how a meter adds up: "sum" or "count".
type Aggregation struct {
	Formula string `json:"formula"`
}

// MeterTransitions say when a meter was put out of use.
type MeterTransitions struct {
	DeactivatedAt *int64 `json:"deactivated_at"`
}

// MeterValueSettings say where a meter event has its value.
type MeterValueSettings struct {
	EventPayloadKey string `json:"event_payload_key"`
}

func (f *Fake) createMeter(c *call) (any, *apiError) {
	m := Meter{
		ID: f.ids.Next("mtr_test_", 32), Object: "billing.meter", Created: f.now(), Updated: f.now(), Status: "active",
		CustomerMapping: CustomerMapping{"stripe_customer_id", "by_id"}, ValueSettings: MeterValueSettings{"value"},
	}
	m.DisplayName, _ = c.form.text("display_name")
	m.EventName, _ = c.form.text("event_name")
	if a := c.form.child("default_aggregation"); a != nil {
		m.DefaultAggregation.Formula = a.oneOf("formula", "", "sum", "count")
	}
	if a := c.form.child("customer_mapping"); a != nil {
		m.CustomerMapping.Type = a.oneOf("type", "by_id", "by_id")
		m.CustomerMapping.EventPayloadKey = textOr(a, "event_payload_key", m.CustomerMapping.EventPayloadKey)
	}
	if a := c.form.child("value_settings"); a != nil {
		m.ValueSettings.EventPayloadKey = textOr(a, "event_payload_key", m.ValueSettings.EventPayloadKey)
	}
	if window := c.form.oneOf("event_time_window", "", "day", "hour"); window != "" {
		m.EventTimeWindow = &window
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	for param, value := range map[string]string{"display_name": m.DisplayName, "event_name": m.EventName, "default_aggregation[formula]": m.DefaultAggregation.Formula} {
		if value == "" {
			return nil, missingParam(param)
		}
	}
	if _, taken := f.meterOf(m.EventName); taken {
		return nil, invalidRequest("event_name", "", "There is already an active meter with event_name "+m.EventName+".")
	}
	return m, save(f, f.meters, m.ID, m, "billing.meter.created")
}

func textOr(form *form, key, fallback string) string {
	if v, ok := form.text(key); ok {
		return v
	}
	return fallback
}

// meterOf finds the active meter of an event name.
func (f *Fake) meterOf(eventName string) (Meter, bool) {
	return f.meters.Find(func(m Meter) bool { return m.EventName == eventName && m.Status == "active" })
}

func (f *Fake) meter(id string) (Meter, *apiError) {
	m, ok := f.meters.Get(id)
	if !ok {
		return Meter{}, noSuch("billing meter", "id", id)
	}
	return m, nil
}

func (f *Fake) getMeter(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.meter(c.id))
}

func (f *Fake) updateMeter(c *call) (any, *apiError) {
	return f.changeMeter(c, "billing.meter.updated", func(m *Meter) { m.DisplayName = textOr(c.form, "display_name", m.DisplayName) })
}

func (f *Fake) deactivateMeter(c *call) (any, *apiError) {
	return f.changeMeter(c, "billing.meter.deactivated", func(m *Meter) {
		at := f.now()
		m.Status, m.StatusTransitions.DeactivatedAt = "inactive", &at
	})
}

func (f *Fake) reactivateMeter(c *call) (any, *apiError) {
	return f.changeMeter(c, "billing.meter.reactivated", func(m *Meter) { m.Status, m.StatusTransitions.DeactivatedAt = "active", nil })
}

func (f *Fake) changeMeter(c *call, kind string, change func(*Meter)) (any, *apiError) {
	m, bad := f.meter(c.id)
	if bad != nil {
		return nil, bad
	}
	change(&m)
	m.Updated = f.now()
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return m, save(f, f.meters, m.ID, m, kind)
}

func (f *Fake) listMeters(c *call) (any, *apiError) {
	page := c.form.cursor()
	status := c.form.oneOf("status", "", "active", "inactive")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.meters, page, "billing meter", "/v1/billing/meters", func(m Meter) string { return m.ID }, func(m Meter) bool {
		return status == "" || m.Status == status
	}))
}

// The bounds of a meter event.
const (
	meterPast     = 35 * 24 * time.Hour
	meterFuture   = 5 * time.Minute
	identityLife  = 24 * time.Hour
	maxIdentifier = 100
	maxDigits     = 15 // more would not be exact in what adds them up
)

// reading is a meter event as it is kept.
type reading struct {
	Identifier string `json:"identifier"`
	Meter      string `json:"meter"`
	Customer   string `json:"customer"`
	Value      int64  `json:"value"`
	Timestamp  int64  `json:"timestamp"`
	Created    int64  `json:"created"`
	Canceled   bool   `json:"canceled"`
}

// MeterEvent is the answer to one that was taken.
type MeterEvent struct {
	Object     string            `json:"object"`
	Created    int64             `json:"created"`
	EventName  string            `json:"event_name"`
	Identifier string            `json:"identifier"`
	Livemode   bool              `json:"livemode"`
	Payload    map[string]string `json:"payload"`
	Timestamp  int64             `json:"timestamp"`
}

func (f *Fake) createMeterEvent(c *call) (any, *apiError) {
	e := MeterEvent{Object: "billing.meter_event", Created: f.now(), Timestamp: f.now(), Payload: map[string]string{}}
	e.EventName, _ = c.form.text("event_name")
	e.Identifier, _ = c.form.text("identifier")
	if at := c.form.integer("timestamp"); at != nil {
		e.Timestamp = *at
	}
	if p := c.form.child("payload"); p != nil {
		for _, key := range p.order {
			e.Payload[key], _ = p.text(key)
		}
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	r, bad := f.readingOf(e)
	if bad != nil {
		return nil, bad
	}
	if e.Identifier == "" {
		e.Identifier = f.ids.Next("", 32)
		r.Identifier = e.Identifier
	}
	if old, known := f.readings.Get(r.Identifier); known && f.now()-old.Created < int64(identityLife/time.Second) {
		bad := invalidRequest("identifier", "", "An event already exists with identifier "+r.Identifier+".")
		bad.final = true
		return nil, bad
	}
	return e, stored(f.readings.Insert(r.Identifier, r))
}

func (f *Fake) readingOf(e MeterEvent) (reading, *apiError) {
	m, ok := f.meterOf(e.EventName)
	age := time.Duration(f.now()-e.Timestamp) * time.Second
	switch {
	case e.EventName == "":
		return reading{}, missingParam("event_name")
	case !ok:
		return reading{}, invalidRequest("event_name", "", "No active meter found for event_name "+e.EventName+".")
	case len(e.Identifier) > maxIdentifier:
		return reading{}, invalidRequest("identifier", "", fmt.Sprintf("The identifier may have at most %d characters.", maxIdentifier))
	case age > meterPast:
		return reading{}, invalidRequest("timestamp", "timestamp_too_far_in_past", "The timestamp must be within the past 35 calendar days.")
	case age < -meterFuture:
		return reading{}, invalidRequest("timestamp", "timestamp_in_future", "The timestamp must not be more than 5 minutes in the future.")
	}
	customer := e.Payload[m.CustomerMapping.EventPayloadKey]
	if _, bad := f.customerOf("payload["+m.CustomerMapping.EventPayloadKey+"]", customer); bad != nil {
		return reading{}, bad
	}
	text := e.Payload[m.ValueSettings.EventPayloadKey]
	if len(strings.TrimLeft(text, "+-0")) > maxDigits {
		return reading{}, invalidRequest("payload["+m.ValueSettings.EventPayloadKey+"]", "", fmt.Sprintf("The value may have at most %d digits.", maxDigits))
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || value < 0 {
		return reading{}, invalidRequest("payload["+m.ValueSettings.EventPayloadKey+"]", "", "The value must be a whole number of at least 0.")
	}
	return reading{Identifier: e.Identifier, Meter: m.ID, Customer: customer, Value: value, Timestamp: e.Timestamp, Created: e.Created}, nil
}

// createAdjustment takes a meter event of the last 24 hours back.
func (f *Fake) createAdjustment(c *call) (any, *apiError) {
	name, _ := c.form.text("event_name")
	kind := c.form.oneOf("type", "", "cancel")
	identifier := ""
	if form := c.form.child("cancel"); form != nil {
		identifier, _ = form.text("identifier")
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	r, ok := f.readings.Get(identifier)
	if m, known := f.meterOf(name); !ok || !known || r.Meter != m.ID || f.now()-r.Created >= int64(identityLife/time.Second) {
		return nil, invalidRequest("cancel[identifier]", "resource_missing", "No meter event "+identifier+" of the last 24 hours was found.")
	}
	r.Canceled = true
	answer := map[string]any{
		"object": "billing.meter_event_adjustment", "event_name": name, "type": kind, "livemode": false, "status": "complete",
		"cancel": map[string]string{"identifier": identifier},
	}
	return answer, stored(f.readings.Insert(identifier, r))
}

// used adds up a meter for a customer, from start until before end. It counts what had arrived at the time known.
func (f *Fake) used(m Meter, customer string, p Period, known int64) int64 {
	total := int64(0)
	for _, r := range f.readings.All(func(r reading) bool {
		return r.Created <= known && !r.Canceled && r.Meter == m.ID && r.Customer == customer && r.Timestamp >= p.Start && r.Timestamp < p.End
	}) {
		if m.DefaultAggregation.Formula == "count" {
			total++
		} else {
			total += r.Value
		}
	}
	return total
}

func (f *Fake) listSummaries(c *call) (any, *apiError) {
	m, bad := f.meter(c.id)
	if bad != nil {
		return nil, bad
	}
	customer, _ := c.form.text("customer")
	p := Period{orZero(c.form.integer("start_time")), orZero(c.form.integer("end_time"))}
	window := c.form.oneOf("value_grouping_window", "", "day", "hour")
	page := c.form.cursor()
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if p.Start%60 != 0 || p.End%60 != 0 || p.End <= p.Start {
		return nil, invalidRequest("start_time", "", "start_time and end_time must be whole minutes, and start_time the earlier.")
	}
	step := map[string]int64{"": p.End - p.Start, "hour": 3600, "day": day}[window]
	var out []summary
	for at := p.Start; at < p.End && len(out) < 10_000; at += step {
		part := Period{at, min(at+step, p.End)}
		if value := f.used(m, customer, part, f.now()-int64(f.cfg.SummaryDelay/time.Second)); value > 0 || window == "" {
			out = append([]summary{{fmt.Sprintf("mtrusg_test_%s_%s_%d", m.ID, customer, at), "billing.meter_event_summary", value, part.End, false, m.ID, part.Start}}, out...)
		}
	}
	if out == nil {
		out = []summary{}
	}
	return asAny(paginateRows(out, page, "billing meter event summary", "/v1/billing/meters/"+m.ID+"/event_summaries", func(s summary) string { return s.ID }))
}

type summary struct {
	ID              string `json:"id"`
	Object          string `json:"object"`
	AggregatedValue int64  `json:"aggregated_value"`
	EndTime         int64  `json:"end_time"`
	Livemode        bool   `json:"livemode"`
	Meter           string `json:"meter"`
	StartTime       int64  `json:"start_time"`
}

// usageLine is what a metered item costs for a period that has ended.
func (f *Fake) usageLine(s Subscription, item SubscriptionItem, used Period) Line {
	price := item.Price
	if whole, ok := f.prices.Get(price.ID); ok {
		price = whole
	}
	quantity := int64(0)
	if price.Recurring != nil && price.Recurring.Meter != nil {
		if m, ok := f.meters.Get(*price.Recurring.Meter); ok {
			quantity = f.used(m, s.Customer, used, math.MaxInt64)
		}
	}
	line := f.itemLine(s, item, used)
	line.Quantity, line.Amount = &quantity, price.amountOf(quantity)
	line.AmountExclTax = line.Amount
	return line
}
