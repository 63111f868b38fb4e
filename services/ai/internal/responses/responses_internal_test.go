package responses

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// fakeStore knows responses by id, and items as RESPONSE/NAME.
type fakeStore struct {
	stored.Store
	tokens map[string]int64
	put    error

	written map[string]time.Time // when each response is due
	account string
}

func (s *fakeStore) Response(_ context.Context, account, id string, _ time.Time) (stored.Response, error) {
	tokens, ok := s.tokens[id]
	if !ok {
		return stored.Response{}, stored.ErrNotFound
	}
	return stored.Response{ID: id, Account: account, Target: "t", Tokens: tokens}, nil
}

func (s *fakeStore) OfItem(ctx context.Context, account, item string, now time.Time) (stored.Response, error) {
	id, _, _ := strings.Cut(item, "/")
	return s.Response(ctx, account, id, now)
}

func (s *fakeStore) Put(_ context.Context, r stored.Response, _ []string, _, due time.Time) error {
	if s.written == nil {
		s.written = map[string]time.Time{}
	}
	s.written[r.ID], s.account = due, r.Account
	return s.put
}

// An item is added to the input as often as it is named, so it is held as often.
func TestWhatARequestRefersToIsHeldAsOftenAsItIsNamed(t *testing.T) {
	const most = unknownTokens
	many := slices.Repeat([]string{"r1/a"}, 1024)
	for name, c := range map[string]struct {
		previous string
		items    []string
		want     int64
	}{
		"nothing":                           {"", nil, 0},
		"a response":                        {"r1", nil, 100},
		"an item":                           {"", []string{"r1/a"}, 100},
		"two items of one response":         {"", []string{"r1/a", "r1/b"}, 100},
		"items of two responses":            {"", []string{"r1/a", "r2/a"}, 107},
		"an item twice":                     {"", []string{"r1/a", "r1/a"}, 200},
		"an item twice, another once":       {"", []string{"r1/b", "r1/a", "r1/a"}, 200},
		"two items twice":                   {"", []string{"r1/a", "r1/b", "r1/b", "r1/a"}, 200},
		"an item very often":                {"", many, 102_400},
		"a response and its item":           {"r1", []string{"r1/a"}, 200},
		"a response and its item, twice":    {"r1", []string{"r1/a", "r1/a"}, 300},
		"a response and another one's item": {"r1", []string{"r2/a", "r2/a"}, 114},
		"tokens that are not known":         {"", []string{"unknown/a"}, most},
		"and more than that":                {"r1", []string{"unknown/a", "unknown/a"}, most},
		"more than can be counted":          {"", slices.Repeat([]string{"huge/a"}, 1024), most},
	} {
		t.Run(name, func(t *testing.T) {
			f := New(Options{Store: &fakeStore{tokens: map[string]int64{"r1": 100, "r2": 7, "unknown": 0, "huge": most - 1}}, Now: time.Now})
			r := invoke.ResponseCall{Request: &wire.Request{References: wire.References{Previous: c.previous, Items: c.items}}}
			require.NoError(t, f.resolve(t.Context(), "acct", &r))
			require.Equal(t, c.want, r.Request.Context)
		})
	}
}

type fakeInvoker struct {
	Invoker
	fetched []invoke.ObjectCall
	status  int
	err     error
}

func (i *fakeInvoker) Fetch(_ context.Context, o invoke.ObjectCall) (int, []byte, error) {
	i.fetched = append(i.fetched, o)
	return i.status, nil, i.err
}

// A response whose owner cannot be stored must not stay at the provider, where nobody could delete it. That of somebody else
// must.
func TestAResponseWithoutAnOwnerIsDeleted(t *testing.T) {
	down := errors.New("the database is down")
	for name, c := range map[string]struct {
		put     error
		known   bool
		status  int
		err     error
		deleted bool
		noted   bool // for another deletion
	}{
		"stored":                            {nil, false, 200, nil, false, false},
		"not stored":                        {down, false, 200, nil, true, false},
		"the provider does not have it yet": {down, false, 404, nil, true, true},
		"the provider refuses":              {down, false, 500, nil, true, true},
		"the provider is down":              {down, false, 0, down, true, true},
		"its items alone":                   {down, true, 200, nil, false, false},
		"the id is another account's":       {stored.ErrTaken, false, 200, nil, false, false},
		"another account's, known once":     {stored.ErrTaken, true, 200, nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			invoker := &fakeInvoker{status: c.status, err: c.err}
			f := New(Options{Invoker: invoker, Store: &fakeStore{put: c.put}, Now: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			err := (&keeper{front: f, claims: &passport.Claims{}}).Keep(t.Context(), invoke.Kept{ID: "resp_1", Target: "t", Known: c.known})
			require.ErrorIs(t, err, c.put)
			var want []invoke.ObjectCall
			if c.deleted {
				want = []invoke.ObjectCall{{Method: http.MethodDelete, Path: "responses/resp_1", Target: "t"}}
			}
			require.Equal(t, want, invoker.fetched)
			require.Equal(t, c.noted, len(f.orphans) == 1)
			require.Empty(t, log.String())
		})
	}
}

// A response that may be left at its provider is written as due once the database answers, or reported when the process stops.
func TestResponsesThatMayBeLeftAreDeletedLater(t *testing.T) {
	down := errors.New("the database is down")
	var log strings.Builder
	store := &fakeStore{put: down}
	now := time.Unix(1_800_000_000, 0)
	f := New(Options{
		Invoker: &fakeInvoker{status: http.StatusNotFound}, Store: store, Now: func() time.Time { return now }, Retention: 720 * time.Hour,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	for _, id := range []string{"resp_1", "resp_2", "resp_3"} {
		require.Error(t, (&keeper{front: f, claims: &passport.Claims{AccountID: "acct"}}).Keep(t.Context(), invoke.Kept{ID: id, Target: "t"}))
	}
	store.written = nil
	f.adopt(t.Context())
	require.Len(t, store.written, 1, "the first failure is enough")
	require.Len(t, f.orphans, 3, "nothing is lost while the database is down")

	store.put, store.written = nil, nil
	f.adopt(t.Context())
	require.Empty(t, f.orphans)
	require.ElementsMatch(t, []string{"resp_1", "resp_2", "resp_3"}, slices.Collect(maps.Keys(store.written)))
	require.Equal(t, now.Add(2*time.Hour), store.written["resp_1"], "due when the provider cannot be making it any more")
	require.Equal(t, "acct", store.account)

	store.put = down
	require.Error(t, (&keeper{front: f, claims: &passport.Claims{}}).Keep(t.Context(), invoke.Kept{ID: "resp_4", Target: "t"}))
	store.put = stored.ErrTaken
	f.adopt(t.Context())
	require.Empty(t, f.orphans, "another account's response stays")

	store.put = down
	for range maxOrphans + 1 {
		require.Error(t, (&keeper{front: f, claims: &passport.Claims{}}).Keep(t.Context(), invoke.Kept{ID: "resp_5", Target: "t"}))
	}
	require.Equal(t, 1, strings.Count(log.String(), "resp_5"), "the one beyond the bound is reported")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	f.Stop(stopped)
	require.Equal(t, maxOrphans+1, strings.Count(log.String(), "resp_5"))
	require.NotContains(t, log.String(), "<nil>")
	require.Empty(t, f.orphans)

	store.put = down
	require.Error(t, (&keeper{front: f, claims: &passport.Claims{}}).Keep(t.Context(), invoke.Kept{ID: "resp_6", Target: "t"}))
	store.put, store.written = nil, nil
	f.Stop(stopped)
	require.Contains(t, store.written, "resp_6", "a process that stops writes what it can")
	require.NotContains(t, log.String(), "resp_6")
}
