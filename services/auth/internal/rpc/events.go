package rpc

import (
	"context"
	"errors"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/auth/internal/mirror"
	"github.com/trivet-dev/trivet/services/auth/internal/page"
)

// Events is the inbox as operators use it.
type Events interface {
	List(ctx context.Context, f inbox.Filter) (inbox.Page, error)
	Get(ctx context.Context, source, id string) (inbox.Record, error)
	Redrive(ctx context.Context, source string, ids []string) (redriven int64, err error)
	RedriveAll(ctx context.Context, source string) (redriven int64, err error)
}

// ListEvents pages through Clerk's events, newest first.
func (s *Server) ListEvents(ctx context.Context, req *authv1.ListEventsRequest) (*authv1.ListEventsResponse, error) {
	f := inbox.Filter{
		Source: mirror.Clerk, Type: req.GetType(), Subject: req.GetSubject(), State: stateOf(req.GetState()),
		PageSize: page.Size(req.GetPageSize()), PageToken: req.GetPageToken(),
	}
	if t := req.GetSince(); t != nil {
		if t.CheckValid() != nil {
			return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The time is none.").
				Field("since", "must be a time such as 2030-01-31T12:00:00Z")
		}
		f.Since = t.AsTime()
	}
	found, err := s.Events.List(ctx, f)
	if err != nil {
		return nil, eventError(err)
	}
	out := &authv1.ListEventsResponse{NextPageToken: found.NextPageToken}
	for _, r := range found.Events {
		out.Events = append(out.Events, eventMessage(r))
	}
	return out, nil
}

// GetEvent reads one event with its redacted payload.
func (s *Server) GetEvent(ctx context.Context, req *authv1.GetEventRequest) (*authv1.GetEventResponse, error) {
	r, err := s.Events.Get(ctx, mirror.Clerk, req.GetEventId())
	if err != nil {
		return nil, eventError(err)
	}
	m := eventMessage(r)
	m.RedactedPayload = string(r.Payload)
	return &authv1.GetEventResponse{Event: m}, nil
}

// RedriveEvents makes dead events pending again. One that is not dead is passed over.
func (s *Server) RedriveEvents(ctx context.Context, req *authv1.RedriveEventsRequest) (*authv1.RedriveEventsResponse, error) {
	if req.GetAllDead() == (len(req.GetEventIds()) > 0) {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "Name events, or ask for all dead ones.").
			Field("eventIds", "must be empty with allDead, and not be empty without it")
	}
	var redriven int64
	var err error
	if req.GetAllDead() {
		redriven, err = s.Events.RedriveAll(ctx, mirror.Clerk)
	} else {
		redriven, err = s.Events.Redrive(ctx, mirror.Clerk, req.GetEventIds())
	}
	if err != nil {
		return nil, eventError(err)
	}
	return &authv1.RedriveEventsResponse{Redriven: redriven}, nil
}

func eventError(err error) error {
	switch {
	case errors.Is(err, inbox.ErrNotFound):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "There is no such event.")
	case errors.Is(err, inbox.ErrPageToken):
		return shown(page.ErrToken, "event")
	}
	return shown(err, "event")
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
		Attempts: int32(min(r.Attempts, 1<<30)), LastError: r.LastError, ReceiveTime: timestampMessage(r.PutTime),
	}
	if r.State == inbox.Pending {
		m.NextAttemptTime = timestampMessage(r.DueTime)
	}
	if r.State == inbox.Done {
		m.DoneTime = timestampMessage(r.EndTime)
	}
	return m
}

// exportEvents gives the latest events about a person, without their payloads.
func (s *Server) exportEvents(ctx context.Context, id string, into *authExport) error {
	found, err := s.Events.List(ctx, inbox.Filter{Source: mirror.Clerk, Subject: id, PageSize: exported})
	if err != nil {
		return err
	}
	into.Events, err = jsonOfEach(found.Events, func(r inbox.Record) (*inboxv1.Event, error) { return eventMessage(r), nil })
	return err
}
