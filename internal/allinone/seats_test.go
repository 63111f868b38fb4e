package allinone

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/webhook"
)

const seatPlans = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "0"}
  - {id: crew, name: Crew, price: "10.00", included_credit: "12.00", seats: {min: 2, max: 9, per_member: true}}
  - {id: big, name: Big, price: "30.00", included_credit: "36.00", seats: {min: 2, max: 9, per_member: true}}
`

// clerk delivers a webhook from Clerk to the edge.
func (f *forger) clerk(id, kind, data string) {
	f.t.Helper()
	millis := f.now.UnixMilli()
	body := fmt.Appendf(nil, `{"object":"event","type":%q,"timestamp":%d,"data":%s}`, kind, millis, data)
	headers, err := webhook.Svix([]string{"whsec_bXkgb3duIHNlY3JldCBoZXJl"}, id, f.now, body)
	require.NoError(f.t, err)
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.edge+"/api/webhooks/clerk", bytes.NewReader(body))
	require.NoError(f.t, err)
	r.Header = headers
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	require.NoError(f.t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(f.t, err)
	require.NoError(f.t, response.Body.Close())
	require.Equal(f.t, http.StatusOK, response.StatusCode, "%s", text)
}

// joins has Clerk tell that a person joined org_1.
func (f *forger) joins(user, role string) {
	f.t.Helper()
	millis := f.now.UnixMilli()
	f.clerk("msg_"+user, "organizationMembership.created", fmt.Sprintf(
		`{"id":"orgmem_%s","object":"organization_membership","role":%q,"permissions":[],"organization":{"id":"org_1"},"public_user_data":{"user_id":%q},"created_at":%d,"updated_at":%d}`,
		user, role, user, millis, millis))
}

// runUntil does the background work of all services until something holds. The clock does not move meanwhile.
func (f *forger) runUntil(why string, holds func() bool) {
	f.t.Helper()
	ctx, stop := context.WithCancel(f.t.Context())
	ended := make(chan error, len(f.system.services))
	var running sync.WaitGroup
	for _, service := range f.system.services {
		running.Go(func() { ended <- service.Run(ctx) })
	}
	defer func() {
		stop()
		running.Wait()
		close(ended)
		for err := range ended {
			require.NoError(f.t, err)
		}
	}()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) { // holds may end the test, which only its goroutine may do
		require.True(f.t, time.Now().Before(end), why)
	}
}

// seats asks the edge, as the admin of org_1, for a number of seats; -1 for an answer without one.
func (f *forger) seats(method, path string, body any, read func(answer []byte) int) int {
	f.t.Helper()
	status, answer := f.sendIn("org_1", "user_ann", method, path, body)
	if status != http.StatusOK {
		return -1
	}
	return read([]byte(answer))
}

// Clerk's webhooks of three members who join at once become one change of the quantity at Stripe: through the edge, auth's count, billing's rows and a job.
func TestSeatsFollowClerksWebhooks(t *testing.T) {
	s, _ := newSeller(t)
	var none struct{}
	s.must("user_operator", http.MethodPost, "/plans:apply", map[string]any{"planFile": base64.StdEncoding.EncodeToString([]byte(seatPlans))}, &none)
	millis := s.now.UnixMilli()
	s.clerk("msg_org", "organization.created", fmt.Sprintf(`{"id":"org_1","object":"organization","name":"Acme","slug":"acme","created_at":%d,"updated_at":%d}`, millis, millis))
	s.joins("user_ann", "org:admin")
	s.joins("user_bob", "org:member")
	s.subscribeIn("org_1", "user_ann", "crew")
	subscribed := func() int {
		return s.seats(http.MethodGet, "/subscription", nil, func(answer []byte) int {
			var got struct{ Subscription struct{ Seats int } }
			require.NoError(t, json.Unmarshal(answer, &got))
			return got.Subscription.Seats
		})
	}
	counted := func() int { // a preview of another plan has a seat for each member that billing knows of
		return s.seats(http.MethodPost, "/subscription:preview", map[string]any{"planId": "big"}, func(answer []byte) int {
			var got struct{ SubscriptionPreview struct{ Seats int } }
			require.NoError(t, json.Unmarshal(answer, &got))
			return got.SubscriptionPreview.Seats
		})
	}
	require.Equal(t, 2, subscribed())
	s.writes.Store(0)
	for _, user := range []string{"user_cem", "user_dee", "user_eve"} {
		s.joins(user, "org:member")
	}
	s.runUntil("billing knows of five members", func() bool { return counted() == 5 })
	require.Equal(t, 2, subscribed(), "the reports of a moment are gathered")
	require.Zero(t, s.writes.Load())
	s.now = s.now.Add(11 * time.Second)
	s.runUntil("the seats follow", func() bool { return subscribed() == 5 })
	require.EqualValues(t, 1, s.writes.Load(), "one change at Stripe for three members")
	s.now = s.now.Add(time.Minute)
	require.Equal(t, 5, counted())
	require.EqualValues(t, 1, s.writes.Load())
}
