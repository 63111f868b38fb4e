package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/members"
	"github.com/trivet-dev/trivet/services/auth/internal/store"
)

// What changes the number of members is reported, once, and what does not is not.
func TestMemberReports(t *testing.T) {
	databasetest.Each(t, migrations(t), func(t *testing.T, db *database.DB) {
		s := store.New(db, time.Now, nil)
		var sent []members.Report
		var fails error
		r := &members.Reporter{Store: s, Send: func(_ context.Context, r members.Report) error {
			if fails == nil {
				sent = append(sent, r)
			}
			return fails
		}}
		keep := func(context.Context) error { return nil }
		run := func() []members.Report {
			t.Helper()
			sent = nil
			require.NoError(t, r.Run(t.Context(), keep))
			return sent
		}
		at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
		put := func(user, role string, minute int) {
			t.Helper()
			_, err := s.PutMembership(t.Context(), directory.Membership{
				ID: "orgmem_" + user, OrganizationID: "org_1", UserID: user, Role: role, CreateTime: at, UpdateTime: at.Add(time.Duration(minute) * time.Minute),
			})
			require.NoError(t, err)
		}
		require.Empty(t, run())
		put("user_1", "org:admin", 0)
		put("user_2", "org:member", 0)
		first := run()
		require.Len(t, first, 1, "both changes are one report")
		require.EqualValues(t, 2, first[0].Members)
		require.False(t, first[0].Deleted)
		require.Empty(t, run())
		put("user_2", "org:admin", 1)
		require.Empty(t, run(), "a role changes no number")

		_, err := s.DeleteMembership(t.Context(), "org_1", "user_2", at.Add(2*time.Minute))
		require.NoError(t, err)
		fails = errors.New("billing is away")
		require.ErrorIs(t, r.Run(t.Context(), keep), fails)
		fails = nil
		second := run()
		require.Len(t, second, 1)
		require.EqualValues(t, 1, second[0].Members)
		require.Greater(t, second[0].Sequence, first[0].Sequence)

		// A member who comes back counts again.
		put("user_2", "org:member", 5)
		back := run()
		require.Len(t, back, 1)
		require.EqualValues(t, 2, back[0].Members)
		require.Greater(t, back[0].Sequence, second[0].Sequence)
		require.Empty(t, run())
		_, err = s.DeleteMembership(t.Context(), "org_1", "user_2", at.Add(6*time.Minute))
		require.NoError(t, err)
		require.EqualValues(t, 1, run()[0].Members)

		// A change during a report is not lost, and a report that is slow does not hide it.
		put("user_3", "org:member", 3)
		slow, err := s.ReportMembers(t.Context(), "org_1")
		require.NoError(t, err)
		put("user_4", "org:member", 3)
		require.NoError(t, s.EndReport(t.Context(), slow))
		last := run()
		require.Len(t, last, 1)
		require.EqualValues(t, 3, last[0].Members)
		_, err = s.DeleteUser(t.Context(), "user_1", at.Add(4*time.Minute))
		require.NoError(t, err)
		require.EqualValues(t, 2, run()[0].Members)

		// An organization that is deleted is reported, once, also one that had no members.
		for _, id := range []string{"org_1", "org_2"} {
			for range 2 {
				_, err = s.DeleteOrganization(t.Context(), id, at.Add(8*time.Minute))
				require.NoError(t, err)
			}
			ended := run()
			require.Len(t, ended, 1)
			require.Equal(t, id, ended[0].OrganizationID)
			require.True(t, ended[0].Deleted)
			require.Zero(t, ended[0].Members)
			require.Empty(t, run())
		}
	})
}

// Deletions of which billing does not know, because an earlier version reported them or nothing, are noted by pages and reported once.
func TestEarlierDeletionsAreReported(t *testing.T) {
	databasetest.Each(t, migrations(t), func(t *testing.T, db *database.DB) {
		s := store.New(db, time.Now, nil)
		at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
		note := func(after string, limit int) []string {
			t.Helper()
			noted, err := s.NoteDeletions(t.Context(), after, limit)
			require.NoError(t, err)
			return noted
		}
		_, err := s.PutOrganization(t.Context(), directory.Organization{ID: "org_living", CreateTime: at, UpdateTime: at})
		require.NoError(t, err)
		for _, id := range []string{"org_1", "org_2", "org_3", "org_told"} {
			_, err := s.DeleteOrganization(t.Context(), id, at)
			require.NoError(t, err)
			report, err := s.ReportMembers(t.Context(), id)
			require.NoError(t, err)
			require.True(t, report.Deleted)
			report.Deleted = id == "org_told" // an earlier version does not say it
			require.NoError(t, s.EndReport(t.Context(), report))
		}
		changed, err := s.ChangedOrganizations(t.Context(), "", 10)
		require.NoError(t, err)
		require.Empty(t, changed)

		require.Equal(t, []string{"org_1", "org_2"}, note("", 2))
		require.Equal(t, []string{"org_3"}, note("org_2", 2))
		require.Empty(t, note("org_3", 2))
		require.Equal(t, []string{"org_1", "org_2", "org_3"}, note("", 10), "until they are reported")
		changed, err = s.ChangedOrganizations(t.Context(), "", 10)
		require.NoError(t, err)
		require.Equal(t, []string{"org_1", "org_2", "org_3"}, changed)

		late, err := s.ReportMembers(t.Context(), "org_1")
		require.NoError(t, err)
		for _, id := range changed {
			report, err := s.ReportMembers(t.Context(), id)
			require.NoError(t, err)
			require.True(t, report.Deleted)
			require.NoError(t, s.EndReport(t.Context(), report))
		}
		late.Deleted = false
		require.NoError(t, s.EndReport(t.Context(), late), "a report that another one has followed says nothing more")
		require.Empty(t, note("", 10))
		changed, err = s.ChangedOrganizations(t.Context(), "", 10)
		require.NoError(t, err)
		require.Empty(t, changed)
	})
}
