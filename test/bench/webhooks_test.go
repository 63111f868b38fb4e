package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheSameSeedOffersTheSame(t *testing.T) {
	o, begun := webhookOptions{users: 5, clerkShare: 0.5, seed: 7}, time.UnixMilli(1_800_000_000_000)
	one, other := newFeed(o, []string{"cus_1", "cus_2"}, begun), newFeed(o, []string{"cus_1", "cus_2"}, begun)
	latest := map[string]int64{}
	sources := map[string]int{}
	for range 200 {
		d := one.next()
		require.Equal(t, d, other.next())
		sources[d.source()]++
		header, body, err := d.write(begun)
		require.NoError(t, err)
		var event struct {
			Type string
			Data struct {
				UpdatedAt int64 `json:"updated_at"`
				ID        string
				Object    json.RawMessage
			}
		}
		require.NoError(t, json.Unmarshal([]byte(body), &event), "%s", body)
		require.NotContains(t, body, "$")
		if !d.clerk {
			require.Equal(t, "customer.updated", event.Type)
			require.Contains(t, string(event.Data.Object), d.subject)
			require.NotEmpty(t, header.Get("Stripe-Signature"))
			continue
		}
		require.Equal(t, "user.updated", event.Type)
		require.Equal(t, d.subject, event.Data.ID)
		require.NotEmpty(t, header.Get("Svix-Signature"))
		require.Greater(t, event.Data.UpdatedAt, latest[d.subject])
		latest[d.subject] = event.Data.UpdatedAt
	}
	require.Len(t, latest, 5)
	require.InDelta(t, 100, sources["clerk"], 30)
}

func TestReading(t *testing.T) {
	ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`# HELP trivet_inbox_events Events.
trivet_inbox_events{source="clerk",state="pending"} 3
trivet_inbox_events{source="clerk",state="leased"} 1
trivet_inbox_events{source="stripe",state="pending"} 2
trivet_inbox_events{source="stripe",state="dead"} 9
trivet_inbox_events_others{state="dead"} 1
process_cpu_seconds_total 1.5e+01
`))
	}))
	defer ops.Close()
	r, err := read(t.Context(), ops.URL)
	require.NoError(t, err)
	dead, known := r.sum("trivet_inbox_events", `state="dead"`)
	require.True(t, known)
	require.InDelta(t, 9, dead, 0)
	require.InDelta(t, 5, r.since(reading{"process_cpu_seconds_total": 10}, "process_cpu_seconds_total"), 0)
	waiting, known := r.waiting()
	require.InDelta(t, 6, waiting, 0)
	require.False(t, known, "nothing tells of Stripe's leased ones")
}

func TestQuantile(t *testing.T) {
	require.Zero(t, quantile(nil, 0.5))
	sorted := make([]time.Duration, 100)
	for i := range sorted {
		sorted[i] = time.Duration(i + 1)
	}
	require.Equal(t, []time.Duration{51, 100, 100}, []time.Duration{quantile(sorted, 0.5), quantile(sorted, 0.99), quantile(sorted, 1)})
}

func TestFamilyCPU(t *testing.T) {
	own, err := cpuOf(os.Getpid())
	require.NoError(t, err)
	family, err := familyCPU(os.Getpid())
	require.NoError(t, err)
	require.GreaterOrEqual(t, family, own)
	nobody, err := familyCPU(0)
	require.NoError(t, err)
	require.Zero(t, nobody)
}
