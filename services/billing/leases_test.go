package billing_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mailing"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/outgoing"
)

// leased is a store that has no notice, and says how long the lease is under which it was asked for one.
type leased struct {
	mailing.Store
	db    *database.DB
	lease chan time.Duration
}

var leaseBegin = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func (s leased) Notice(ctx context.Context, _ string) (notices.Notice, error) {
	var due int64
	if err := s.db.Reader().QueryRowContext(ctx, "SELECT due_time FROM inbox_subject").Scan(&due); err != nil {
		return notices.Notice{}, err
	}
	s.lease <- time.UnixMicro(due).Sub(leaseBegin)
	return notices.Notice{}, ledger.ErrNotFound
}

// TestMessagesAreSentUnderALongLease: a process that freezes for some seconds while it sends a mail or a webhook must not make another one send it again.
func TestMessagesAreSentUnderALongLease(t *testing.T) {
	now := func() time.Time { return leaseBegin }
	for source, add := range map[string]func(in *inbox.Inbox, s leased) error{
		mailing.Source: func(in *inbox.Inbox, s leased) error {
			_, err := mailing.New(mailing.Options{Inbox: in, Store: s, Now: now})
			return err
		},
		outgoing.Source: func(in *inbox.Inbox, s leased) error {
			_, err := outgoing.New(outgoing.Options{Inbox: in, Store: s, Now: now})
			return err
		},
	} {
		t.Run(source, func(t *testing.T) {
			db := databasetest.SQLite(t, inbox.Migrations())
			in, err := inbox.New(db, inbox.Options{Now: now, Lease: 3 * time.Second})
			require.NoError(t, err)
			s := leased{db: db, lease: make(chan time.Duration, 1)}
			require.NoError(t, add(in, s))
			_, err = in.Put(t.Context(), inbox.Event{Source: source, ID: "ntc_1", Type: "billing.ended", Payload: []byte("{}")})
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- in.Run(ctx) }()
			require.Equal(t, 15*time.Second, <-s.lease)
			stop()
			require.NoError(t, <-ended)
		})
	}
}
