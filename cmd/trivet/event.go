package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
)

// event is an event, decoded and as the edge's JSON.
type event struct {
	*inboxv1.Event
	raw json.RawMessage
}

// UnmarshalJSON reads an event. It ignores unknown fields, which a newer edge may send.
func (e *event) UnmarshalJSON(raw []byte) error {
	e.Event, e.raw = &inboxv1.Event{}, bytes.Clone(raw)
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(raw, e.Event)
}

// maxPageSize is the maximum number of events in one answer of the edge.
const maxPageSize = 500

// events lists the newest events at a path, and reports whether there are more.
func (o *operator) events(ctx context.Context, path string, query url.Values, limit int) (all []event, more bool, err error) {
	asked := url.Values{}
	for name, values := range query {
		asked[name] = values
	}
	for len(all) < limit {
		asked.Set("pageSize", strconv.Itoa(min(limit-len(all), maxPageSize)))
		raw, err := o.ask(ctx, http.MethodGet, path+"?"+asked.Encode(), nil)
		if err != nil {
			return all, true, err
		}
		var page struct {
			Events        []event
			NextPageToken string
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return all, true, o.notTrivet(err)
		}
		all = append(all, page.Events...)
		if page.NextPageToken == "" {
			return all, false, nil
		}
		asked.Set("pageToken", page.NextPageToken)
	}
	return all, true, nil
}

// printEvents writes a list as the edge would.
func (o *operator) printEvents(w io.Writer, all []event) error {
	list := struct {
		Events []json.RawMessage `json:"events"`
	}{Events: []json.RawMessage{}}
	for _, e := range all {
		list.Events = append(list.Events, e.raw)
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return o.print(w, raw)
}

// maxErrorShown limits an error in a table, in characters.
const maxErrorShown = 80

func printTable(w io.Writer, all []event) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "RECEIVED\tSOURCE\tSTATE\tATTEMPTS\tTYPE\tSUBJECT\tID\tERROR")
	for _, e := range all {
		var text []rune
		if e.GetState() != inboxv1.EventState_EVENT_STATE_DONE { // errors of done events are history
			text = []rune(oneLine(e.GetLastError()))
		}
		if len(text) > maxErrorShown {
			text = append(text[:maxErrorShown-1], '…')
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", stamp(e.GetReceiveTime().AsTime()), e.GetSource(), e.state(), e.GetAttempts(),
			e.GetType(), e.subject(), e.GetId(), string(text))
	}
	return table.Flush() // the writer's first error
}

// subject returns "-" for an event without an object.
func (e event) subject() string {
	if e.GetSubject() == e.GetId() {
		return "-"
	}
	return e.GetSubject()
}

func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "; ") }

func (e event) state() string {
	return strings.ToLower(strings.TrimPrefix(e.GetState().String(), "EVENT_STATE_"))
}

// stamp writes a time to the millisecond.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000Z") }

// print shows an event with all its details.
func (e event) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	received := e.GetReceiveTime().AsTime()
	line := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("event", "%s", e.GetId())
	line("source", "%s", e.GetSource())
	line("type", "%s", e.GetType())
	line("subject", "%s", e.subject())
	line("state", "%s", e.state())
	line("received", "%s", stamp(received))
	if at := e.GetNextAttemptTime(); at != nil {
		line("next attempt", "%s", stamp(at.AsTime()))
	}
	if at := e.GetEndTime(); at != nil {
		line("ended", "%s, %s after it came", stamp(at.AsTime()), at.AsTime().Sub(received).Round(time.Millisecond))
	}
	line("attempts", "%d", e.GetAttempts())
	for _, f := range e.GetFailures() {
		begun := f.GetBeginTime().AsTime()
		line(fmt.Sprintf("  failed %d", f.GetAttempt()), "%s, took %s: %s", stamp(begun), f.GetEndTime().AsTime().Sub(begun).Round(time.Millisecond), oneLine(f.GetError()))
	}
	if text := e.GetLastError(); text != "" {
		line("last error", "%s", oneLine(text))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if e.GetRedactedPayload() == "" {
		_, err := fmt.Fprintln(w, "payload       no longer kept")
		return err
	}
	var out bytes.Buffer
	if json.Indent(&out, []byte(e.GetRedactedPayload()), "", "  ") != nil {
		out.Reset()
		out.WriteString(e.GetRedactedPayload())
	}
	_, err := fmt.Fprintf(w, "payload, redacted:\n%s\n", out.String())
	return err
}
