package members_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trivet-dev/trivet/services/auth/internal/members"
)

// changes are organizations with changes, in order.
type changes []string

func (c *changes) ChangedOrganizations(_ context.Context, after string, limit int) ([]string, error) {
	i, found := slices.BinarySearch(*c, after)
	if found {
		i++
	}
	rest := (*c)[i:]
	return slices.Clone(rest[:min(limit, len(rest))]), nil
}

func (*changes) ReportMembers(_ context.Context, id string) (members.Report, error) {
	return members.Report{OrganizationID: id}, nil
}

func (c *changes) EndReport(_ context.Context, r members.Report) error {
	*c = slices.DeleteFunc(*c, func(id string) bool { return id == r.OrganizationID })
	return nil
}

func many() *changes {
	c := make(changes, 250)
	for n := range c {
		c[n] = fmt.Sprintf("org_%03d", n)
	}
	return &c
}

func keep(context.Context) error { return nil }

// Organizations that fail, more than are read at once, do not keep others from their turn, and are reported as one error.
func TestOrganizationsThatFailDoNotKeepOthersFromTheirTurn(t *testing.T) {
	store, sent := many(), 0
	r := members.Reporter{Store: store, Send: func(_ context.Context, r members.Report) error {
		if sent++; r.OrganizationID < "org_120" {
			return errors.New("refused")
		}
		return nil
	}}
	err := r.Run(t.Context(), keep)
	require.EqualError(t, err, "120 reports failed, the first: report the members of org_000: refused")
	require.Equal(t, 250, sent)
	require.Len(t, *store, 120)
}

// When billing is away, no report after the first one is tried.
func TestARoundEndsWhenBillingIsAway(t *testing.T) {
	for code, want := range map[codes.Code]int{
		codes.Unavailable: 1, codes.Unimplemented: 1, codes.DeadlineExceeded: 1, codes.Internal: 250, codes.InvalidArgument: 250,
	} {
		sent := 0
		r := members.Reporter{Store: many(), Send: func(context.Context, members.Report) error {
			sent++
			return status.Error(code, "no")
		}}
		require.Equal(t, code, status.Code(r.Run(t.Context(), keep)))
		require.Equal(t, want, sent, code)
	}
}

// Billing may not answer for some organizations, and answer for all others. Each of them ends a round, and none keeps the others from their turn.
func TestARoundBeginsAfterTheOrganizationThatEndedTheLast(t *testing.T) {
	store := many()
	stuck := map[string]bool{"org_010": true, "org_180": true}
	var sent []string
	r := members.Reporter{Store: store, Send: func(_ context.Context, r members.Report) error {
		sent = append(sent, r.OrganizationID)
		if stuck[r.OrganizationID] {
			return status.Error(codes.DeadlineExceeded, "slow")
		}
		return nil
	}}
	round := func() (first, last string, count int) {
		t.Helper()
		sent = nil
		require.Equal(t, codes.DeadlineExceeded, status.Code(r.Run(t.Context(), keep)))
		return sent[0], sent[len(sent)-1], len(sent)
	}
	for _, want := range []struct {
		first, last string
		count       int
	}{{"org_000", "org_010", 11}, {"org_011", "org_180", 170}, {"org_181", "org_010", 70}, {"org_180", "org_180", 1}, {"org_010", "org_010", 1}} {
		first, last, count := round()
		require.Equal(t, want.first, first)
		require.Equal(t, want.last, last)
		require.Equal(t, want.count, count)
	}
	require.Equal(t, changes{"org_010", "org_180"}, *store)

	// A change before the one that ended the round has its turn in the next one, and a round that comes to its end looks at none twice.
	*store = changes{"org_005", "org_010", "org_180"}
	first, last, count := round()
	require.Equal(t, []any{"org_180", "org_180", 1}, []any{first, last, count})
	delete(stuck, "org_010")
	first, last, count = round()
	require.Equal(t, []any{"org_005", "org_180", 3}, []any{first, last, count})
	delete(stuck, "org_180")
	require.NoError(t, r.Run(t.Context(), keep))
	require.Empty(t, *store)
}

// The organization that ended a round may have no changes any more in the next one, which looks at the others once.
func TestARoundWithoutTheOrganizationThatEndedTheLast(t *testing.T) {
	store := &changes{"org_1", "org_2", "org_3"}
	var sent []string
	answer := func(id string) error {
		if id == "org_2" {
			return status.Error(codes.DeadlineExceeded, "slow")
		}
		return errors.New("refused")
	}
	r := members.Reporter{Store: store, Send: func(_ context.Context, r members.Report) error {
		sent = append(sent, r.OrganizationID)
		return answer(r.OrganizationID)
	}}
	require.ErrorContains(t, r.Run(t.Context(), keep), "2 reports failed")
	*store, sent = changes{"org_1", "org_3"}, nil
	require.ErrorContains(t, r.Run(t.Context(), keep), "2 reports failed")
	require.Equal(t, []string{"org_3", "org_1"}, sent)
	sent = nil
	require.ErrorContains(t, r.Run(t.Context(), keep), "2 reports failed")
	require.Equal(t, []string{"org_1", "org_3"}, sent, "the round came to its end, so the next one begins with the first")
}

// A round that has lost the job sends nothing more.
func TestARoundEndsWithTheJob(t *testing.T) {
	lost := errors.New("lost")
	store := many()
	r := members.Reporter{Store: store, Send: func(context.Context, members.Report) error { return nil }}
	require.ErrorIs(t, r.Run(t.Context(), func(context.Context) error {
		if len(*store) == 200 {
			return lost
		}
		return nil
	}), lost)
	require.Len(t, *store, 200)
}
