package stripe

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/sandbox/internal/table"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

const (
	// eventLife is how long the API shows an event.
	eventLife = 30 * 24 * time.Hour
	// maxEvents bounds the events that are kept; the oldest go first, many at a time.
	maxEvents = 50_000
	forgotten = maxEvents / 10
)

// Event is Stripe's event object.
type Event struct {
	ID              string        `json:"id"`
	Object          string        `json:"object"`
	APIVersion      string        `json:"api_version"`
	Created         int64         `json:"created"`
	Data            EventData     `json:"data"`
	Livemode        bool          `json:"livemode"`
	PendingWebhooks int           `json:"pending_webhooks"`
	Request         *EventRequest `json:"request"`
	Type            string        `json:"type"`
}

// EventData is the object as it was, and what was different before.
type EventData struct {
	Object             json.RawMessage `json:"object"`
	PreviousAttributes json.RawMessage `json:"previous_attributes,omitempty"`
}

// EventRequest is the request that caused an event; both are nil without a request.
type EventRequest struct {
	ID             *string `json:"id"`
	IdempotencyKey *string `json:"idempotency_key"`
}

// cause is the current request; the zero value means none.
type cause struct {
	id, key string
	quiet   bool
}

func (c cause) request() *EventRequest {
	r := &EventRequest{}
	if c.id != "" {
		r.ID = &c.id
	}
	if c.key != "" {
		r.IdempotencyKey = &c.key
	}
	return r
}

// emit records and sends the event of a change. The lock is held, so that events are in the order of the changes.
func (f *Fake) emit(kind, id string, object any) { f.emitChange(kind, id, object, nil) }

// emitChange records and sends the event of an update, with the previous values.
func (f *Fake) emitChange(kind, id string, object any, previous json.RawMessage) {
	if f.cause.quiet {
		return
	}
	raw, err := json.Marshal(shown(object))
	if err != nil {
		return // the objects of this package always marshal
	}
	e := f.newEvent(kind, raw)
	e.Data.PreviousAttributes = previous
	if f.events.Len() >= maxEvents {
		_ = f.events.DropOldest(forgotten)
	}
	if f.events.Insert(e.ID, e) != nil {
		return
	}
	f.lastEvent = e.ID
	if f.cfg.Emit != nil {
		f.cfg.Emit(webhook.Event{ID: e.ID, Type: kind, Subject: id, Body: encode(e)})
	}
}

func (f *Fake) newEvent(kind string, object json.RawMessage) Event {
	e := Event{
		ID: f.eventIDs.Next("evt_1", 23), Object: "event", APIVersion: APIVersion, Created: f.now(), Data: EventData{Object: object},
		Request: f.cause.request(), Type: kind,
	}
	if f.cfg.Emit != nil {
		e.PendingWebhooks = 1
	}
	return e
}

// MakeEvent returns an event of any type with any object, which no change caused. The API does not list it.
func (f *Fake) MakeEvent(kind, subject string, object json.RawMessage) webhook.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.newEvent(kind, object)
	return webhook.Event{ID: e.ID, Type: kind, Subject: subject, Body: encode(e)}
}

// save stores an object and emits the events. An "….updated" event has the previous values, and is omitted when nothing
// changed. Rows of long lists that the API no longer shows are compared, too.
func save[T any](f *Fake, rows *table.Table[T], id string, row T, kinds ...string) *apiError {
	old, had := rows.Get(id)
	if bad := stored(rows.Insert(id, row)); bad != nil {
		return bad
	}
	for _, kind := range kinds {
		if !had || !strings.HasSuffix(kind, ".updated") {
			f.emit(kind, id, row)
			continue
		}
		if previous := difference(tree(whole(old)), tree(whole(row))); len(previous) > 0 {
			raw, err := json.Marshal(previous)
			if err != nil {
				return stored(err)
			}
			f.emitChange(kind, id, row, raw)
		}
	}
	return nil
}

// difference returns the fields of old that are not the same in fresh: of objects only what differs in them, of lists
// the whole one.
func difference(old, fresh map[string]any) map[string]any {
	out := map[string]any{}
	for key, was := range old {
		is, has := fresh[key]
		if has && reflect.DeepEqual(was, is) {
			continue
		}
		inner, wasObject := was.(map[string]any)
		now, isObject := is.(map[string]any)
		if wasObject && isObject && inner["object"] == nil {
			out[key] = difference(inner, now)
			continue
		}
		out[key] = was
	}
	for key := range fresh {
		if _, had := old[key]; !had {
			out[key] = nil
		}
	}
	return out
}

func (f *Fake) getEvent(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	e, ok := f.events.Get(c.id)
	if !ok || e.Created < f.now()-int64(eventLife/time.Second) {
		return nil, noSuch("event", "id", c.id)
	}
	return e, nil
}

func (f *Fake) listEvents(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	kind, byKind := c.form.text("type")
	kinds := c.form.strings("types")
	var delivered bool
	c.form.boolean("delivery_success", &delivered)
	if byKind && kinds != nil {
		return nil, invalidRequest("types", "parameters_exclusive", "You may only specify one of these parameters: type, types.")
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	oldest := f.now() - int64(eventLife/time.Second)
	return asAny(paginate(f.events, page, "event", "/v1/events", func(e Event) string { return e.ID }, func(e Event) bool {
		return e.Created >= oldest && created(e.Created) && (!byKind || matchesType(kind, e.Type)) &&
			(kinds == nil || slices.ContainsFunc(kinds, func(k string) bool { return matchesType(k, e.Type) }))
	}))
}

// matchesType knows a pattern such as "customer.subscription.*".
func matchesType(pattern, kind string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(kind, prefix)
	}
	return pattern == kind
}
