package rpc

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/offers"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
)

const (
	// migrationPage is how many subscriptions one call moves; each takes some calls at Stripe.
	migrationPage = 20
	// migrationTime is after how long a call begins no further subscription.
	migrationTime = 15 * time.Second
)

// MigratePlan moves a page of subscribers to another version of their plan.
func (s *Server) MigratePlan(ctx context.Context, r *billingv1.MigratePlanRequest) (*billingv1.MigratePlanResponse, error) {
	if s.checkout == nil {
		return nil, stripeIsOff()
	}
	m, err := s.checkout.NewMigration(ctx, r.GetFrom(), r.GetTo(), r.GetAtRenewal())
	if err != nil {
		return nil, migrationError(ctx, err)
	}
	list := paging.List{Name: "migration", Filters: []string{r.GetFrom(), r.GetTo(), strconv.FormatBool(r.GetAtRenewal())}}
	cursor, err := list.Cursor(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	n, err := s.checkout.Store.CountSubscribers(ctx, m.From.Plan.ID, m.From.Plan.Version)
	if err != nil {
		return nil, Public(err)
	}
	out := &billingv1.MigratePlanResponse{SubscriptionCount: saturate.Int32(n)}
	if r.GetPageToken() == "" {
		differences, err := offers.Differences(*m.From.Plan, *m.To.Plan)
		if err != nil {
			return nil, Public(err)
		}
		out.Changes = toChanges(differences)
	}
	if r.GetDryRun() {
		return out, nil
	}
	size := migrationPage
	if asked := int(r.GetPageSize()); asked > 0 {
		size = min(size, asked)
	}
	accounts, err := s.checkout.Store.Subscribers(ctx, m.From.Plan.ID, m.From.Plan.Version, cursor.ID, size+1)
	if err != nil {
		return nil, Public(err)
	}
	page, next := paging.Cut(list, accounts, size, func(id string) paging.Cursor { return paging.Cursor{ID: id} })
	out.NextPageToken = next
	if err := s.migrateAll(ctx, m, page, out, list); err != nil {
		return nil, err
	}
	return out, nil
}

// migrateAll moves the subscriptions of accounts. When one fails after others were moved, or time runs short, the next page begins with it.
func (s *Server) migrateAll(ctx context.Context, m checkout.Migration, accounts []string, out *billingv1.MigratePlanResponse, list paging.List) error {
	begin := s.now()
	for i, id := range accounts {
		if i > 0 && s.now().Sub(begin) > migrationTime {
			out.NextPageToken = list.Token(paging.Cursor{ID: accounts[i-1]})
			return nil
		}
		done, err := s.migrateOne(ctx, m, id)
		switch {
		case err != nil && i > 0:
			out.NextPageToken = list.Token(paging.Cursor{ID: accounts[i-1]})
			return nil
		case err != nil:
			return migrationError(ctx, err)
		}
		out.Migrations = append(out.Migrations, toMigration(done))
	}
	return nil
}

// migrateOne moves the subscription of one account. A refusal by Stripe, a change in progress, or a subscription that cannot be read does not stop the
// others.
func (s *Server) migrateOne(ctx context.Context, m checkout.Migration, accountID string) (checkout.Migrated, error) {
	done, err := s.checkout.Migrate(ctx, accountID, m)
	if err == nil || stopsMigration(ctx, err) {
		return done, err
	}
	done.Reason = err.Error()
	if done.Result == 0 {
		done.Result = checkout.Skipped
	}
	if refused, ok := errors.AsType[*outcome.RefusedError](err); ok {
		done.Reason = "Stripe refused it: " + refused.Message
	}
	if errors.Is(err, job.ErrBusy) {
		done.Reason = "another purchase or change of the account is running"
	}
	return done, nil
}

// stopsMigration reports whether the other subscriptions would fail with the same error: Stripe or the database does not serve, or Stripe rejects the key.
// A lost turn stops it too, because it is unknown whether the subscription was moved.
func stopsMigration(ctx context.Context, err error) bool {
	if refused, ok := errors.AsType[*outcome.RefusedError](err); ok {
		return refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden
	}
	return ctx.Err() != nil || outcome.Silent(err) || database.IsUnavailable(err) || errors.Is(err, context.Canceled) ||
		errors.Is(err, mirror.ErrRefused) || errors.Is(err, ledger.ErrUnavailable) || errors.Is(err, job.ErrLost)
}

func toMigration(m checkout.Migrated) *billingv1.PlanMigration {
	out := &billingv1.PlanMigration{AccountId: m.AccountID, SubscriptionId: m.SubscriptionID, Result: billingv1.PlanMigrationResult(m.Result), Reason: m.Reason}
	if !m.Time.IsZero() {
		out.EffectiveTime = timestamppb.New(m.Time)
	}
	return out
}

func migrationError(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*checkout.MigrationError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The subscribers cannot be moved: %s. Nothing was changed.", e.Error()).Field(e.Field, e.Problem)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return checkoutError(err)
}
