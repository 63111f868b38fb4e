package rpc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// maxDays limits the range of a usage query.
const maxDays = 366

// report is a checked request for usage.
type report struct {
	ledger.UsageQuery
	// filters are what a page token is bound to: the days as they were asked for, so that a list of "until today" can be continued
	// after midnight.
	filters []string
}

// asksForUsage is what GetUsage and ExportUsage have in common.
type asksForUsage interface {
	GetStartDay() string
	GetEndDay() string
	GetModel() string
	GetUserId() string
	GetApiKeyId() string
	GetGroupBy() []billingv1.UsageGrouping
}

// GetUsage sums the account's usage by day and group.
func (s *Server) GetUsage(ctx context.Context, r *billingv1.GetUsageRequest) (*billingv1.GetUsageResponse, error) {
	report, err := s.report(ctx, r)
	if err != nil {
		return nil, err
	}
	list := paging.List{Name: "usage", Filters: report.filters}
	after, err := afterRow(list, r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := paging.LongSize(r.GetPageSize())
	rows, err := s.usageAfter(ctx, report.UsageQuery, after, size+1)
	if err != nil {
		return nil, err
	}
	page, next := paging.Cut(list, rows, size, func(row ledger.UsageRow) paging.Cursor {
		return paging.Cursor{ID: row.Day, Second: strings.Join([]string{row.Model, row.UserID, row.APIKeyID}, separator)}
	})
	total, err := s.sum(ctx, report.UsageQuery, page, r.GetPageToken() == "" && next == "")
	if err != nil {
		return nil, err
	}
	return &billingv1.GetUsageResponse{Rows: toRows(page), Total: toSummary(total), NextPageToken: next}, nil
}

// separator stands between the parts of a cursor; no id has it.
const separator = "\x00"

// afterRow reads the row that a page begins after; its day is empty for the first page.
func afterRow(list paging.List, token string) (ledger.UsageRow, error) {
	cursor, err := list.Cursor(token)
	if err != nil || cursor.ID == "" {
		return ledger.UsageRow{}, err
	}
	parts := strings.Split(cursor.Second, separator)
	if _, err := time.Parse(time.DateOnly, cursor.ID); err != nil || len(parts) != 3 {
		return ledger.UsageRow{}, paging.Invalid()
	}
	return ledger.UsageRow{Day: cursor.ID, Model: parts[0], UserID: parts[1], APIKeyID: parts[2]}, nil
}

// usageAfter reads at most limit rows after one.
func (s *Server) usageAfter(ctx context.Context, q ledger.UsageQuery, after ledger.UsageRow, limit int) (rows []ledger.UsageRow, err error) {
	if day, err := time.Parse(time.DateOnly, after.Day); err == nil && day.After(q.From) {
		q.From = day
	}
	err = s.ledger.UsageRows(ctx, q, func(row ledger.UsageRow) (bool, error) {
		if after.Day == "" || row.Compare(after) > 0 {
			rows = append(rows, row)
		}
		return len(rows) < limit, nil
	})
	return rows, Public(err)
}

// sum is the sum of the whole report. When a page has all of it, that page is summed, so that both show the same moment.
func (s *Server) sum(ctx context.Context, q ledger.UsageQuery, page []ledger.UsageRow, whole bool) (total ledger.UsageTotal, err error) {
	if !whole {
		total, err = s.ledger.UsageSum(ctx, q)
		return total, Public(err)
	}
	for _, row := range page {
		total.Add(row.UsageTotal)
	}
	return total, nil
}

// exportRows is how many rows a message of an export has.
const exportRows = 500

// ExportUsage streams all rows of a report.
func (s *Server) ExportUsage(r *billingv1.ExportUsageRequest, stream grpc.ServerStreamingServer[billingv1.ExportUsageResponse]) error {
	report, err := s.report(stream.Context(), r)
	if err != nil {
		return err
	}
	var waiting []ledger.UsageRow
	first := &billingv1.ExportUsageResponse{
		StartDay: report.From.UTC().Format(time.DateOnly), EndDay: report.To.AddDate(0, 0, -1).Format(time.DateOnly),
	}
	if err := stream.Send(first); err != nil {
		return err
	}
	err = s.ledger.UsageRows(stream.Context(), report.UsageQuery, func(row ledger.UsageRow) (bool, error) {
		if waiting = append(waiting, row); len(waiting) < exportRows {
			return true, nil
		}
		part := toRows(waiting)
		waiting = nil
		return true, stream.Send(&billingv1.ExportUsageResponse{Rows: part})
	})
	if err == nil && len(waiting) > 0 {
		err = stream.Send(&billingv1.ExportUsageResponse{Rows: toRows(waiting)})
	}
	return Public(err)
}

// report checks a request for usage.
func (s *Server) report(ctx context.Context, r asksForUsage) (report, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return report{}, err
	}
	user, err := visibleUser(claims, r.GetUserId())
	if err != nil {
		return report{}, err
	}
	from, to, err := s.days(ctx, claims, r)
	if err != nil {
		return report{}, err
	}
	by := grouping(r.GetGroupBy())
	return report{
		UsageQuery: ledger.UsageQuery{AccountID: claims.AccountID, From: from, To: to, Model: r.GetModel(), UserID: user, APIKeyID: r.GetApiKeyId(), By: by},
		filters:    []string{claims.AccountID, user, r.GetStartDay(), r.GetEndDay(), r.GetModel(), r.GetApiKeyId(), strconv.Itoa(int(by))},
	}, nil
}

func grouping(asked []billingv1.UsageGrouping) (by ledger.Grouping) {
	for _, one := range asked {
		switch one {
		case billingv1.UsageGrouping_USAGE_GROUPING_MODEL:
			by |= ledger.ByModel
		case billingv1.UsageGrouping_USAGE_GROUPING_USER:
			by |= ledger.ByUser
		case billingv1.UsageGrouping_USAGE_GROUPING_API_KEY:
			by |= ledger.ByAPIKey
		case billingv1.UsageGrouping_USAGE_GROUPING_UNSPECIFIED:
		}
	}
	return by
}

func toRows(rows []ledger.UsageRow) []*billingv1.UsageRow {
	out := make([]*billingv1.UsageRow, 0, len(rows))
	for _, row := range rows {
		out = append(out, &billingv1.UsageRow{
			Day: row.Day, Model: row.Model, UserId: row.UserID, ApiKeyId: row.APIKeyID, Requests: row.Requests, Usage: toUsage(row.Usage), CostNanoUsd: row.Cost,
		})
	}
	return out
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
func (s *Server) days(ctx context.Context, caller *passport.Claims, r asksForUsage) (from, to time.Time, err error) {
	end, err := parseDay("endDay", r.GetEndDay(), s.now().UTC().Truncate(24*time.Hour))
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	var start time.Time
	if r.GetStartDay() == "" {
		account, err := s.ledger.Account(ctx, caller.AccountID, s.ledger.MayShare(caller.UserID, caller.Verified))
		if err != nil {
			return time.Time{}, time.Time{}, Public(err)
		}
		start = account.PeriodStart.UTC().Truncate(24 * time.Hour) // a subscription's period begins at any time of a day
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
