// Package inboxpb shows inboxes to operators as proto says: services that have one answer alike.
package inboxpb

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/timefield"
)

// Inbox is an inbox as operators use it; inbox.Inbox is one.
type Inbox interface {
	List(ctx context.Context, f inbox.Filter) (inbox.Page, error)
	Get(ctx context.Context, source, id string) (inbox.Record, error)
	Redrive(ctx context.Context, source string, ids []string) (redriven int64, skipped []string, err error)
	RedriveAll(ctx context.Context, source string) (redriven int64, err error)
}

// Source is one source's events in an inbox.
type Source struct {
	Inbox Inbox
	// Name is the source's, such as "stripe".
	Name string
}

// ListRequest is what services' ListEventsRequests have in common.
type ListRequest interface {
	GetState() inboxv1.EventState
	GetType() string
	GetSubject() string
	GetSince() *timestamppb.Timestamp
	GetPageSize() int32
	GetPageToken() string
}

// List returns a page of events, newest first. Errors: INVALID_ARGUMENT, SERVICE_UNAVAILABLE.
func (s Source) List(ctx context.Context, req ListRequest) (events []*inboxv1.Event, nextPageToken string, err error) {
	since, err := Since(req.GetSince())
	if err != nil {
		return nil, "", err
	}
	found, err := s.Inbox.List(ctx, inbox.Filter{
		Source: s.Name, Type: req.GetType(), Subject: req.GetSubject(), State: state(req.GetState()), Since: since,
		PageSize: req.GetPageSize(), PageToken: req.GetPageToken(),
	})
	if err != nil {
		return nil, "", Error(err)
	}
	for _, r := range found.Events {
		events = append(events, Event(r))
	}
	return events, found.NextPageToken, nil
}

// Get returns one event with its redacted payload and its failures. Errors: NOT_FOUND, SERVICE_UNAVAILABLE.
func (s Source) Get(ctx context.Context, id string) (*inboxv1.Event, error) {
	r, err := s.Inbox.Get(ctx, s.Name, id)
	if err != nil {
		return nil, Error(err)
	}
	e := Event(r)
	e.RedactedPayload = string(r.Payload)
	for _, f := range r.Failures {
		e.Failures = append(e.Failures, &inboxv1.FailedAttempt{
			Attempt: number(f.Attempt), BeginTime: moment(f.BeginTime), EndTime: moment(f.EndTime), Error: f.Error,
		})
	}
	return e, nil
}

// Redrive makes the named dead events pending again, or all dead ones, and returns the ids that were passed over. Errors:
// INVALID_ARGUMENT, SERVICE_UNAVAILABLE.
func (s Source) Redrive(ctx context.Context, ids []string, allDead bool) (redriven int64, skipped []string, err error) {
	if allDead == (len(ids) > 0) {
		return 0, nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "Set either eventIds or allDead.").
			Field("eventIds", "must be empty when allDead is true, and name at least one event otherwise")
	}
	if allDead {
		redriven, err = s.Inbox.RedriveAll(ctx, s.Name)
	} else {
		redriven, skipped, err = s.Inbox.Redrive(ctx, s.Name, ids)
	}
	if err != nil {
		return redriven, nil, Error(err)
	}
	return redriven, skipped, nil
}

// Since is zero when no time is given. Errors: INVALID_ARGUMENT.
func Since(t *timestamppb.Timestamp) (time.Time, error) { return timefield.Of("since", t) }

// Error turns an inbox's errors into those that callers may see.
func Error(err error) error {
	if errors.Is(err, inbox.ErrNotFound) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "Event not found.")
	}
	return err
}

// Event is a record without its payload.
func Event(r inbox.Record) *inboxv1.Event {
	e := &inboxv1.Event{
		Id: r.ID, Source: r.Source, Type: r.Type, Subject: r.Subject, State: message(r.State), Attempts: number(r.Attempts),
		LastError: r.LastError, ReceiveTime: moment(r.PutTime), EndTime: moment(r.EndTime),
	}
	if r.State == inbox.Pending {
		e.NextAttemptTime = moment(r.DueTime)
	}
	if r.State == inbox.Done {
		e.DoneTime = e.EndTime
	}
	return e
}

func number(n int) int32 { return int32(min(n, 1<<30)) }

// moment is unset for the zero time.
func moment(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// state is empty for any state.
func state(s inboxv1.EventState) inbox.State {
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

func message(s inbox.State) inboxv1.EventState {
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
