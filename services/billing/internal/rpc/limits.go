package rpc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// periods are the periods of the API's windows.
var periods = map[billingv1.SpendWindow]time.Duration{ //nolint:gochecknoglobals // never changes
	billingv1.SpendWindow_SPEND_WINDOW_HOUR:           ledger.PeriodHour,
	billingv1.SpendWindow_SPEND_WINDOW_DAY:            ledger.PeriodDay,
	billingv1.SpendWindow_SPEND_WINDOW_WEEK:           ledger.PeriodWeek,
	billingv1.SpendWindow_SPEND_WINDOW_MONTH:          ledger.PeriodMonth,
	billingv1.SpendWindow_SPEND_WINDOW_BILLING_PERIOD: ledger.PeriodBilling,
}

// ListSpendLimits pages through an account's spend limits.
func (s *Server) ListSpendLimits(ctx context.Context, r *billingv1.ListSpendLimitsRequest) (*billingv1.ListSpendLimitsResponse, error) {
	claims, err := callerFor(ctx, r.GetAccountId())
	if err != nil {
		return nil, err
	}
	q, err := limitQuery(claims, r)
	if err != nil {
		return nil, err
	}
	list := paging.List{Name: "spendLimits", Filters: []string{q.AccountID, string(q.Only.Kind), q.Only.ID, strconv.FormatBool(q.WithDefaults)}}
	after, err := list.Cursor(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	if q.After, err = afterLimit(after); err != nil {
		return nil, err
	}
	q.Limit, q.Caller = paging.Size(r.GetPageSize()), personOf(ctx, claims)
	limits, last, err := s.ledger.Limits(ctx, q)
	if err != nil {
		return nil, Public(err)
	}
	out := &billingv1.ListSpendLimitsResponse{}
	if last != nil {
		out.NextPageToken = list.Token(paging.Cursor{
			ID: string(last.Subject.Kind), Second: strconv.FormatInt(last.Period.Microseconds(), 10) + separator + last.Subject.ID,
		})
	}
	for _, l := range limits {
		out.SpendLimits = append(out.SpendLimits, toSpendLimit(l))
	}
	return out, nil
}

// afterLimit reads the limit that a page begins after.
func afterLimit(c paging.Cursor) (ledger.SpendLimit, error) {
	if c.ID == "" {
		return ledger.SpendLimit{}, nil
	}
	text, subject, _ := strings.Cut(c.Second, separator)
	micros, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return ledger.SpendLimit{}, paging.Invalid()
	}
	return ledger.SpendLimit{Subject: ledger.Subject{Kind: ledger.SubjectKind(c.ID), ID: subject}, Period: time.Duration(micros) * time.Microsecond}, nil
}

// callerFor are the claims of the caller for an account; see actingFor.
func callerFor(ctx context.Context, accountID string) (*passport.Claims, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	return actingFor(claims, accountID)
}

// personOf is the person who may have the free credit of an account: nobody when an operator acts for another account.
func personOf(ctx context.Context, claims *passport.Claims) string {
	if own, err := passport.Caller(ctx); err != nil || own.AccountID != claims.AccountID {
		return ""
	}
	return claims.UserID
}

// limitQuery is what a caller may see: a member the limits that apply to it.
func limitQuery(claims *passport.Claims, r *billingv1.ListSpendLimitsRequest) (ledger.LimitQuery, error) {
	q := ledger.LimitQuery{AccountID: claims.AccountID}
	switch {
	case r.GetUserId() != "" && r.GetApiKeyId() != "":
		return q, invalid("apiKeyId", "must be empty when userId is set")
	case r.GetApiKeyId() != "":
		if !claims.IsAdmin() && r.GetApiKeyId() != claims.APIKeyID {
			return q, errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED,
				"Only an admin of the organization may see the limits of other API keys.").Field("apiKeyId", "names another key")
		}
		q.Only = ledger.KeySubject(r.GetApiKeyId())
		return q, nil
	}
	user, err := visibleUser(claims, r.GetUserId())
	if err != nil {
		return q, err
	}
	if user != "" {
		q.Only, q.WithDefaults = ledger.MemberSubject(user), true
	}
	return q, nil
}

// SetSpendLimit sets a spend limit.
func (s *Server) SetSpendLimit(ctx context.Context, r *billingv1.SetSpendLimitRequest) (*billingv1.SetSpendLimitResponse, error) {
	claims, err := callerFor(ctx, r.GetAccountId())
	if err != nil {
		return nil, err
	}
	subject, err := limitSubject(r)
	if err == nil {
		err = mayLimit(claims, subject)
	}
	if err != nil {
		return nil, err
	}
	if r.GetAccountId() == "" { // the caller's own account is opened if need be
		if _, err := s.ledger.Account(ctx, claims.AccountID, s.ledger.MayShare(claims.UserID, claims.Verified)); err != nil {
			return nil, Public(err)
		}
	}
	limit, err := s.ledger.SetLimit(ctx, ledger.SpendLimit{
		AccountID: claims.AccountID, Subject: subject, Period: periods[r.GetWindow()], Amount: r.GetLimitNanoUsd(),
	})
	if err != nil {
		return nil, Public(err)
	}
	return &billingv1.SetSpendLimitResponse{SpendLimit: toSpendLimit(ledger.LimitUse{SpendLimit: limit})}, nil
}

// limitSubject is the subject that a request names.
func limitSubject(r *billingv1.SetSpendLimitRequest) (ledger.Subject, error) {
	named := 0
	for _, is := range []bool{r.GetUserId() != "", r.GetEveryMember(), r.GetApiKeyId() != ""} {
		if is {
			named++
		}
	}
	switch {
	case named != 1:
		return ledger.Subject{}, invalid("userId", "or everyMember or apiKeyId is required, and only one of them")
	case r.GetApiKeyId() != "":
		return ledger.KeySubject(r.GetApiKeyId()), nil
	}
	return ledger.MemberSubject(r.GetUserId()), nil
}

// mayLimit keeps an API key from raising its own limits, and those of other API keys: any of them may make calls for it.
func mayLimit(claims *passport.Claims, s ledger.Subject) error {
	own := s.Kind == ledger.SubjectKey || s == ledger.MemberSubject(claims.UserID) || s == ledger.MemberSubject(ledger.EveryMember)
	if claims.APIKeyID == "" || !own {
		return nil
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED,
		"An API key cannot change spend limits of API keys, of its own member, or of every member. Sign in as an admin to change them.")
}

// DeleteSpendLimit removes a spend limit.
func (s *Server) DeleteSpendLimit(ctx context.Context, r *billingv1.DeleteSpendLimitRequest) (*billingv1.DeleteSpendLimitResponse, error) {
	claims, err := callerFor(ctx, r.GetAccountId())
	if err != nil {
		return nil, err
	}
	may := func(l ledger.SpendLimit) error { return mayLimit(claims, l.Subject) }
	if err := s.ledger.DeleteLimit(ctx, claims.AccountID, r.GetId(), may); err != nil {
		return nil, Public(err)
	}
	return &billingv1.DeleteSpendLimitResponse{}, nil
}

func toSpendLimit(l ledger.LimitUse) *billingv1.SpendLimit {
	out := &billingv1.SpendLimit{
		Id: l.ID, LimitNanoUsd: l.Amount, SpentNanoUsd: l.Spend.Spent, HeldNanoUsd: l.Spend.Held,
		CreateTime: timestamppb.New(l.CreateTime), UpdateTime: timestamppb.New(l.UpdateTime),
	}
	for window, period := range periods {
		if period == l.Period {
			out.Window = window
		}
	}
	switch l.Subject {
	case ledger.MemberSubject(ledger.EveryMember):
		out.EveryMember = true
	case ledger.MemberSubject(l.Subject.ID):
		out.UserId = l.Subject.ID
	default:
		out.ApiKeyId = l.Subject.ID
	}
	if !l.Window.End.IsZero() {
		out.WindowStartTime, out.WindowEndTime = timestamppb.New(l.Window.Start), timestamppb.New(l.Window.End)
	}
	return out
}
