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
