package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/stretchr/testify/require"
)

// inboxEvent is a webhook as operators see it.
type inboxEvent struct {
	ID, Type, Subject, State, LastError, ReceiveTime, EndTime, RedactedPayload string
	Attempts                                                                   int
	Failures                                                                   []struct {
		Attempt                   int
		BeginTime, EndTime, Error string
	}
}

// inboxes are where operators find them.
var inboxes = map[string]string{"clerk": "/api/v1/auth/events", "stripe": "/api/v1/billing/events"}

func (in *installation) events(source, query string) []inboxEvent {
	in.t.Helper()
	var list struct{ Events []inboxEvent }
	in.get(inboxes[source]+query, in.token("user_operator", nil), &list)
	return list.Events
}

// event reads one event; none when there is no such.
func (in *installation) event(source, id string) inboxEvent {
	in.t.Helper()
	a := in.call(in.t.Context(), http.MethodGet, inboxes[source]+"/"+url.PathEscape(id), in.token("user_operator", nil), "")
	if a.status == http.StatusNotFound {
		return inboxEvent{}
	}
	require.Equal(in.t, http.StatusOK, a.status, "%s", a.body)
	var got struct{ Event inboxEvent }
	require.NoError(in.t, json.Unmarshal(a.body, &got), "%s", a.body)
	return got.Event
}
