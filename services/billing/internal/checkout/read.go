package checkout

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

const (
	// settleTime is how long Get waits until the account has what was paid for, and look how often it looks.
	settleTime = 10 * time.Second
	look       = 500 * time.Millisecond
)

// Get reads a session at Stripe, and waits until the account has what was paid for. applied says whether it has. Errors: ErrNotFound,
// those of mirror.Fetch and of the store.
func (s *Service) Get(ctx context.Context, accountID, id string) (session Session, applied bool, err error) {
	if err := s.owns(ctx, accountID, id); err != nil {
		return Session{}, false, err
	}
	for end := time.Now().Add(settleTime); ; {
		bought, session, err := s.read(ctx, id)
		if err != nil {
			return Session{}, false, err
		}
		if applied, err = s.applied(ctx, accountID, bought); err != nil {
			return Session{}, false, err
		}
		waiting := bought.Status == "complete" && !applied && bought.PaymentStatus != "unpaid"
		if !waiting || !time.Now().Before(end) {
			return session, applied, nil
		}
		if err := wait.For(ctx, look); err != nil {
			return Session{}, false, err
		}
	}
}

// owns refuses the session of another account, and one that does not exist. It comes before read, because whoever guesses ids must not
// fill the store.
func (s *Service) owns(ctx context.Context, accountID, id string) error {
	o, err := s.Mirror.Look(ctx, mirror.CheckoutSession, id)
	if err != nil {
		return err
	}
	if o.Deleted || o.Customer == "" {
		return ErrNotFound
	}
	owner, err := s.Store.AccountOfCustomer(ctx, o.Customer)
	if isNotFound(err) || err == nil && owner != accountID {
		return ErrNotFound
	}
	return err
}

// read fetches the session and, once it is paid, what it bought. What follows from each is written with it.
func (s *Service) read(ctx context.Context, id string) (subscriptions.Session, Session, error) {
	o, err := s.Mirror.Sync(ctx, mirror.CheckoutSession, id)
	if err != nil {
		return subscriptions.Session{}, Session{}, err
	}
	if o.Deleted {
		return subscriptions.Session{}, Session{}, ErrNotFound
	}
	bought, err := subscriptions.ParseSession(o.Body)
	if err != nil {
		return bought, Session{}, err
	}
	for kind, of := range map[mirror.Kind]string{mirror.Subscription: bought.Subscription, mirror.Invoice: bought.Invoice} {
		if bought.Status != "complete" || of == "" {
			continue
		}
		if _, err := s.Mirror.Sync(ctx, kind, of); err != nil {
			return bought, Session{}, err
		}
	}
	var times struct {
		ExpiresAt int64 `json:"expires_at"`
	}
	if err := json.Unmarshal(o.Body, &times); err != nil {
		return bought, Session{}, err
	}
	return bought, Session{ID: id, Status: bought.Status, ExpireTime: time.Unix(times.ExpiresAt, 0).UTC()}, nil
}

// applied tells whether the account has what a session bought.
func (s *Service) applied(ctx context.Context, accountID string, bought subscriptions.Session) (bool, error) {
	if bought.Status != "complete" {
		return false, nil
	}
	if bought.Mode == "payment" {
		return s.Store.GrantGiven(ctx, accountID, subscriptions.PackSource(bought.ID))
	}
	st, err := s.Store.Subscription(ctx, accountID)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil && st.SubscriptionID == bought.Subscription && (st.Access == subscriptions.Active || st.Access == subscriptions.Trial), err
}

// Portal opens the portal for an account and returns its address. Errors: ErrNoCustomer, ErrNotApplied, those of package outcome and of
// the store.
func (s *Service) Portal(ctx context.Context, accountID, returnURL string) (string, error) {
	customer, err := s.Store.Customer(ctx, accountID)
	if err != nil {
		return "", err
	}
	if customer == "" {
		return "", ErrNoCustomer
	}
	catalog, err := s.Store.Catalog(ctx)
	if err != nil {
		return "", err
	}
	if catalog.Portal == "" {
		return "", ErrNotApplied
	}
	url, err := s.Provider.NewPortal(ctx, customer, catalog.Portal, returnURL)
	if err != nil {
		return "", s.gone(ctx, customer, err)
	}
	return url, nil
}

func isNotFound(err error) bool { return errors.Is(err, ledger.ErrNotFound) }
