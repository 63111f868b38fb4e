package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// Events is the inbox as operators use it.
type Events interface {
	List(ctx context.Context, f inbox.Filter) (inbox.Page, error)
	Get(ctx context.Context, source, id string) (inbox.Record, error)
	Redrive(ctx context.Context, source string, ids []string) (redriven int64, err error)
	RedriveAll(ctx context.Context, source string) (redriven int64, err error)
}

// ListEvents pages through Stripe's events, newest first.
func (s *Server) ListEvents(ctx context.Context, req *billingv1.ListEventsRequest) (*billingv1.ListEventsResponse, error) {
	f := inbox.Filter{
		Source: mirror.Stripe, Type: req.GetType(), Subject: req.GetSubject(), State: stateOf(req.GetState()),
		PageSize: int(req.GetPageSize()), PageToken: req.GetPageToken(),
	}
	var err error
	if f.Since, err = sinceOf(req.GetSince()); err != nil {
		return nil, err
	}
	found, err := s.events.List(ctx, f)
	if err != nil {
		return nil, eventError(err)
	}
	out := &billingv1.ListEventsResponse{NextPageToken: found.NextPageToken}
	for _, r := range found.Events {
		out.Events = append(out.Events, eventMessage(r))
	}
	return out, nil
}

// GetEvent reads one event with its redacted payload.
func (s *Server) GetEvent(ctx context.Context, req *billingv1.GetEventRequest) (*billingv1.GetEventResponse, error) {
	r, err := s.events.Get(ctx, mirror.Stripe, req.GetEventId())
	if err != nil {
		return nil, eventError(err)
	}
	m := eventMessage(r)
	m.RedactedPayload = string(r.Payload)
	return &billingv1.GetEventResponse{Event: m}, nil
}

// RedriveEvents makes dead events pending again. One that is not dead is passed over.
func (s *Server) RedriveEvents(ctx context.Context, req *billingv1.RedriveEventsRequest) (*billingv1.RedriveEventsResponse, error) {
	if req.GetAllDead() == (len(req.GetEventIds()) > 0) {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "Name events, or ask for all dead ones.").
			Field("eventIds", "must be empty with allDead, and not be empty without it")
	}
	var redriven int64
	var err error
	if req.GetAllDead() {
		redriven, err = s.events.RedriveAll(ctx, mirror.Stripe)
	} else {
		redriven, err = s.events.Redrive(ctx, mirror.Stripe, req.GetEventIds())
	}
	if err != nil {
		return nil, eventError(err)
	}
	return &billingv1.RedriveEventsResponse{Redriven: redriven}, nil
}

// sinceOf is zero when no time is given.
func sinceOf(t *timestamppb.Timestamp) (time.Time, error) {
	switch {
	case t == nil:
		return time.Time{}, nil
	case t.CheckValid() != nil:
		return time.Time{}, invalid("since", "must be a time such as 2030-01-31T12:00:00Z")
	default:
		return t.AsTime(), nil
	}
}

func eventError(err error) error {
	switch {
	case errors.Is(err, inbox.ErrNotFound):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "There is no such event.")
	case errors.Is(err, inbox.ErrPageToken):
		return invalid("pageToken", "is not a nextPageToken of an earlier answer; leave it empty for the first page")
	case database.IsUnavailable(err):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"Service temporarily unavailable. Please try again later.").After(time.Second).Cause(err)
	}
	return err
}

// stateOf is empty for any state.
func stateOf(s inboxv1.EventState) inbox.State {
	switch s {
	case inboxv1.EventState_EVENT_STATE_PENDING:
		return inbox.Pending
	case inboxv1.EventState_EVENT_STATE_LEASED:
		return inbox.Leased
	case inboxv1.EventState_EVENT_STATE_DONE:
		return inbox.Done
	case inboxv1.EventState_EVENT_STATE_DEAD:
		return inbox.Dead
	case inboxv1.EventState_EVENT_STATE_IGNORED:
		return inbox.Ignored
	case inboxv1.EventState_EVENT_STATE_UNSPECIFIED:
	}
	return ""
}

func stateMessage(s inbox.State) inboxv1.EventState {
	switch s {
	case inbox.Pending:
		return inboxv1.EventState_EVENT_STATE_PENDING
	case inbox.Leased:
		return inboxv1.EventState_EVENT_STATE_LEASED
	case inbox.Done:
		return inboxv1.EventState_EVENT_STATE_DONE
	case inbox.Dead:
		return inboxv1.EventState_EVENT_STATE_DEAD
	case inbox.Ignored:
		return inboxv1.EventState_EVENT_STATE_IGNORED
	}
	return inboxv1.EventState_EVENT_STATE_UNSPECIFIED
}

func eventMessage(r inbox.Record) *inboxv1.Event {
	m := &inboxv1.Event{
		Id: r.ID, Source: r.Source, Type: r.Type, Subject: r.Subject, State: stateMessage(r.State),
		Attempts: int32(min(r.Attempts, 1<<30)), LastError: r.LastError, ReceiveTime: timestamppb.New(r.PutTime),
	}
	if r.State == inbox.Pending {
		m.NextAttemptTime = timestamppb.New(r.DueTime)
	}
	if r.State == inbox.Done {
		m.DoneTime = timestamppb.New(r.EndTime)
	}
	return m
}
