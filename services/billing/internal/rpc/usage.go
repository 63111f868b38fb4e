package rpc

import (
	"context"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// maxDays limits the range of a usage query.
const maxDays = 366

// GetUsage sums the account's usage by day and model.
func (s *Server) GetUsage(ctx context.Context, r *billingv1.GetUsageRequest) (*billingv1.GetUsageResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	user, err := visibleUser(claims, r.GetUserId())
	if err != nil {
		return nil, err
	}
	from, to, err := s.days(ctx, claims.AccountID, r)
	if err != nil {
		return nil, err
	}
	rows, total, err := s.ledger.Usage(ctx, ledger.UsageQuery{
		AccountID: claims.AccountID, From: from, To: to, Model: r.GetModel(), UserID: user,
	})
	if err != nil {
		return nil, Public(err)
	}
	// The token is bound to the days as they were asked for, so a list of "until today" can be continued after midnight.
	list := paging.List{Name: "usage", Filters: []string{claims.AccountID, user, r.GetStartDay(), r.GetEndDay(), r.GetModel()}}
	page, next, err := paging.Window(list, rows, paging.LongSize(r.GetPageSize()), r.GetPageToken(),
		func(row ledger.UsageRow) paging.Cursor { return paging.Cursor{ID: row.Day, Second: row.Model} })
	if err != nil {
		return nil, err
	}
	out := &billingv1.GetUsageResponse{Total: toSummary(total), NextPageToken: next}
	for _, row := range page {
		out.Rows = append(out.Rows, &billingv1.UsageRow{
			Day: row.Day, Model: row.Model, Requests: row.Requests, Usage: toUsage(row.Usage), CostNanoUsd: row.Cost,
		})
	}
	return out, nil
}

// visibleUser limits members of an organization to their own usage.
func visibleUser(claims *passport.Claims, wanted string) (string, error) {
	switch {
	case claims.IsAdmin():
		return wanted, nil
	case wanted == "" || wanted == claims.UserID:
		return claims.UserID, nil
	default:
		return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED,
			"Only an admin of the organization may see the usage of other members. Leave userId empty to see your own.").
			Field("userId", "names another member")
	}
}

// days returns the midnights around the requested days, with defaults.
func (s *Server) days(ctx context.Context, accountID string, r *billingv1.GetUsageRequest) (from, to time.Time, err error) {
	end, err := parseDay("endDay", r.GetEndDay(), s.now().UTC().Truncate(24*time.Hour))
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	var start time.Time
	if r.GetStartDay() == "" {
		account, err := s.ledger.Account(ctx, accountID)
		if err != nil {
			return time.Time{}, time.Time{}, Public(err)
		}
		start = account.PeriodStart
	} else if start, err = parseDay("startDay", r.GetStartDay(), time.Time{}); err != nil {
		return time.Time{}, time.Time{}, err
	}
	switch {
	case end.Before(start):
		return time.Time{}, time.Time{}, invalid("endDay", "must not be before startDay, which is "+start.Format(time.DateOnly))
	case end.After(start.AddDate(0, 0, maxDays)):
		return time.Time{}, time.Time{}, invalid("endDay", "must be at most 366 days after startDay")
	}
	return start, end.AddDate(0, 0, 1), nil
}

func parseDay(field, text string, fallback time.Time) (time.Time, error) {
	if text == "" {
		return fallback, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, invalid(field, "must be a date such as 2026-11-23")
	}
	return day, nil
}
