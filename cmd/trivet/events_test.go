package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
	"github.com/trivet-dev/trivet/platform/settings"
)

// edge is an edge with events of both providers, newest first.
type edge struct {
	t      *testing.T
	events map[string][]*inboxv1.Event
	asked  []string
}

func newEdge(t *testing.T) *edge {
	t.Helper()
	e := &edge{t: t, events: map[string][]*inboxv1.Event{}}
	begun := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for i := range 1200 { // one after another of each, Clerk's first
		source := []string{"clerk", "stripe"}[i%2]
		at := begun.Add(time.Duration(i) * time.Second)
		event := &inboxv1.Event{
			Id: fmt.Sprintf("%s_%04d", source, i), Source: source, Type: "user.updated", Subject: fmt.Sprint("subject_", i), State: inboxv1.EventState_EVENT_STATE_DONE,
			Attempts: 1, ReceiveTime: timestamppb.New(at), EndTime: timestamppb.New(at.Add(1500 * time.Millisecond)),
		}
		if i >= 1198 {
			event.State, event.LastError, event.Attempts = inboxv1.EventState_EVENT_STATE_DEAD, "it can't\nbe "+strings.Repeat("x", 200), 25
			event.Failures = []*inboxv1.FailedAttempt{{Attempt: 25, BeginTime: timestamppb.New(at), EndTime: timestamppb.New(at.Add(20 * time.Millisecond)), Error: "too\nbad"}}
			event.RedactedPayload = `{"id":"x"}`
		}
		path := "/api/v1/" + map[string]string{"clerk": "auth", "stripe": "billing"}[source] + "/events"
		e.events[path] = append([]*inboxv1.Event{event}, e.events[path]...)
	}
	e.events["/api/v1/billing/events webhook"] = []*inboxv1.Event{{
		Id: "ntc_1", Source: "webhook", Type: "billing.payment_failed", Subject: "ntc_1", State: inboxv1.EventState_EVENT_STATE_DEAD,
		ReceiveTime: timestamppb.New(begun.Add(-time.Hour)),
	}}
	e.events["/api/v1/billing/events email"] = []*inboxv1.Event{{
		Id: "ntc_2", Source: "email", Type: "billing.ended", Subject: "ntc_2", State: inboxv1.EventState_EVENT_STATE_DEAD,
		ReceiveTime: timestamppb.New(begun.Add(-time.Hour)),
	}}
	return e
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.asked = append(e.asked, r.Method+" "+r.URL.RequestURI())
	if r.Header.Get("Authorization") != "Bearer operator" {
		e.t.Error("it did not say who it is")
	}
	base, id, _ := strings.Cut(strings.TrimSuffix(r.URL.Path, ":redrive"), "/events")
	path, answer := base+"/events", map[string]any{}
	if source := r.URL.Query().Get("source"); source != "" {
		path += " " + source
	}
	events := e.events[path]
	switch {
	case r.Method == http.MethodPost:
		var ask struct {
			EventIDs []string
			AllDead  bool
			Source   string
		}
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
			e.t.Error(err)
		}
		if ask.Source != "" {
			events = e.events[path+" "+ask.Source]
		}
		answer = redrive(events, ask.EventIDs, ask.AllDead)
	case id != "":
		for _, event := range events {
			if event.GetId() == id[1:] {
				answer["event"] = shown(e.t, event)
			}
		}
		if len(answer) == 0 {
			w.WriteHeader(http.StatusNotFound)
			answer["error"], answer["code"] = "Event not found.", "NOT_FOUND"
		}
	default:
		size, _ := strconv.Atoi(r.URL.Query().Get("pageSize"))
		from, _ := strconv.Atoi(r.URL.Query().Get("pageToken"))
		to := min(from+size, len(events))
		var page []json.RawMessage
		for _, event := range events[from:to] {
			page = append(page, shown(e.t, event))
		}
		answer["events"] = page
		if to < len(events) {
			answer["nextPageToken"] = fmt.Sprint(to)
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func redrive(events []*inboxv1.Event, ids []string, all bool) map[string]any {
	dead, skipped := 0, []string{}
	for _, event := range events {
		if all && event.GetState() == inboxv1.EventState_EVENT_STATE_DEAD {
			dead++
		}
	}
	for _, id := range ids {
		found := false
		for _, event := range events {
			found = found || event.GetId() == id && event.GetState() == inboxv1.EventState_EVENT_STATE_DEAD
		}
		if found {
			dead++
		} else {
			skipped = append(skipped, id)
		}
	}
	return map[string]any{"redriven": dead, "skippedEventIds": skipped}
}

func shown(t *testing.T, event *inboxv1.Event) json.RawMessage {
	t.Helper()
	raw, err := protojson.Marshal(event)
	require.NoError(t, err)
	return raw
}

// trivet runs a command against the edge.
func (e *edge) trivet(args ...string) (stdout, stderr string, err error) {
	e.t.Helper()
	server := httptest.NewServer(e)
	defer server.Close()
	e.asked = nil
	var out, errs bytes.Buffer
	getenv := func(name string) string {
		return map[string]string{"TRIVET_URL": server.URL, "TRIVET_TOKEN": "operator"}[name]
	}
	err = run(e.t.Context(), args, program{env: settings.Env{Get: getenv}, stdin: strings.NewReader(""), stdout: &out, stderr: &errs})
	return out.String(), errs.String(), err
}

func TestListMergesBothInboxesNewestFirst(t *testing.T) {
	e := newEdge(t)
	out, _, err := e.trivet("events", "list", "--limit", "3")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 4)
	require.Regexp(t, `^RECEIVED +SOURCE +STATE +ATTEMPTS +TYPE +SUBJECT +ID +ERROR$`, lines[0])
	require.Regexp(t, `^2026-11-25 12:19:59.000Z +stripe +dead +25 +user.updated +subject_1199 +stripe_1199 +it can't; be x+…$`, lines[1])
	require.Regexp(t, `clerk_1198`, lines[2])
	require.Regexp(t, ` done +1 +user.updated +subject_1197 +stripe_1197 *$`, lines[3])

	out, stderr, err := e.trivet("events", "list", "--source", "clerk", "--limit", "10000")
	require.NoError(t, err)
	require.Len(t, strings.Split(strings.TrimSpace(out), "\n"), 601, "all pages")
	require.Empty(t, stderr)
	_, stderr, err = e.trivet("events", "list")
	require.NoError(t, err)
	require.Contains(t, stderr, "newest 50")

	_, _, err = e.trivet("events", "list", "--source", "stripe", "--state", "dead", "--type", "a b", "--subject", "x/y", "--since", "2026-11-01")
	require.NoError(t, err)
	require.Equal(t, []string{"GET /api/v1/billing/events?pageSize=50&since=2026-11-01T00%3A00%3A00Z&state=EVENT_STATE_DEAD&subject=x%2Fy&type=a+b"}, e.asked)

	out, _, err = e.trivet("events", "list", "--json", "--limit", "2")
	require.NoError(t, err)
	var list struct{ Events []struct{ ID, State string } }
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.Len(t, list.Events, 2)
	require.Equal(t, "EVENT_STATE_DEAD", list.Events[0].State)
}

func TestShowLooksInBothInboxes(t *testing.T) {
	e := newEdge(t)
	out, _, err := e.trivet("events", "show", "stripe_1199")
	require.NoError(t, err)
	require.Equal(t, `event        stripe_1199
source       stripe
type         user.updated
subject      subject_1199
state        dead
received     2026-11-25 12:19:59.000Z
ended        2026-11-25 12:20:00.500Z, 1.5s after it came
attempts     25
  failed 25  2026-11-25 12:19:59.000Z, took 20ms: too; bad
last error   it can't; be `+strings.Repeat("x", 200)+`
payload, redacted:
{
  "id": "x"
}
`, out)
	out, _, err = e.trivet("events", "show", "clerk_0000", "--json")
	require.NoError(t, err)
	require.Contains(t, out, `"id": "clerk_0000"`)
	out, _, err = e.trivet("events", "show", "clerk_0000")
	require.NoError(t, err)
	require.Contains(t, out, "no longer kept")
	_, _, err = e.trivet("events", "show", "clerk_0000", "--source", "stripe")
	require.ErrorContains(t, err, "the event clerk_0000 from stripe was not found")
	_, _, err = e.trivet("events", "show", "nope")
	require.ErrorContains(t, err, "the event nope from clerk or stripe or webhook or email was not found")
}

func TestRedriveFindsTheInbox(t *testing.T) {
	e := newEdge(t)
	out, _, err := e.trivet("events", "redrive", "stripe_1199", "clerk_1198")
	require.NoError(t, err)
	require.Equal(t, "2 redriven\n", out)
	out, _, err = e.trivet("events", "redrive", "clerk_1198", "clerk_0000", "nope")
	require.EqualError(t, err, "not dead or unknown, and skipped: clerk_0000, nope")
	require.Equal(t, "1 redriven\n", out)
	out, _, err = e.trivet("events", "redrive", "--state", "dead")
	require.NoError(t, err)
	require.Equal(t, "4 redriven\n", out)
	out, _, err = e.trivet("events", "redrive", "ntc_1")
	require.NoError(t, err)
	require.Equal(t, "1 redriven\n", out)
	out, _, err = e.trivet("events", "list", "--source", "webhook")
	require.NoError(t, err)
	require.Contains(t, out, "billing.payment_failed")
	out, _, err = e.trivet("events", "show", "ntc_1")
	require.NoError(t, err)
	require.Contains(t, out, "webhook")
	out, _, err = e.trivet("events", "list", "--source", "email")
	require.NoError(t, err)
	require.Contains(t, out, "billing.ended")
	out, _, err = e.trivet("events", "redrive", "ntc_2")
	require.NoError(t, err)
	require.Equal(t, "1 redriven\n", out)
	out, _, err = e.trivet("events", "redrive", "--state", "dead", "--source", "clerk", "--json")
	require.NoError(t, err)
	require.JSONEq(t, `{"redriven":1}`, out)
}

func TestEventsCommandsNameWhatIsWrong(t *testing.T) {
	e := newEdge(t)
	for text, says := range map[string]string{
		"list --source paypal":       "--source is clerk or stripe or webhook or email",
		"list --state odd":           "--state is one of pending, leased, done, dead, ignored",
		"list --limit 0":             "--limit must be 1 to",
		"list --since -1h":           "--since",
		"redrive":                    "ids of events",
		"redrive x --state dead":     "ids of events",
		"redrive --state done":       "must be dead",
		"show":                       "needs 1 argument",
		"show x --source paypal":     "--source is clerk or stripe or webhook or email",
		"redrive x --source paypal":  "--source is clerk or stripe or webhook or email",
		"list --since 2026-11-25T1Z": "neither a duration",
	} {
		_, _, err := e.trivet(append([]string{"events"}, strings.Fields(text)...)...)
		require.ErrorContains(t, err, says, text)
		require.Empty(t, e.asked, text)
	}
}
