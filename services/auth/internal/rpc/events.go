package rpc

import (
	"context"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/inbox/inboxpb"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
)

func (s *Server) clerkEvents() inboxpb.Source {
	return inboxpb.Source{Inbox: s.options.Events, Name: clerk.Source}
}

// ListEvents pages through Clerk's events, newest first.
func (s *Server) ListEvents(ctx context.Context, req *authv1.ListEventsRequest) (*authv1.ListEventsResponse, error) {
	events, next, err := s.clerkEvents().List(ctx, req)
	if err != nil {
		return nil, err
	}
	return &authv1.ListEventsResponse{Events: events, NextPageToken: next}, nil
}

// GetEvent reads one event with its redacted payload and its failures.
func (s *Server) GetEvent(ctx context.Context, req *authv1.GetEventRequest) (*authv1.GetEventResponse, error) {
	event, err := s.clerkEvents().Get(ctx, req.GetEventId())
	if err != nil {
		return nil, err
	}
	return &authv1.GetEventResponse{Event: event}, nil
}

// RedriveEvents makes dead events pending again, and names those that it passed over.
func (s *Server) RedriveEvents(ctx context.Context, req *authv1.RedriveEventsRequest) (*authv1.RedriveEventsResponse, error) {
	redriven, skipped, err := s.clerkEvents().Redrive(ctx, req.GetEventIds(), req.GetAllDead())
	if err != nil {
		return nil, err
	}
	return &authv1.RedriveEventsResponse{Redriven: saturate.Int32(redriven), SkippedEventIds: skipped}, nil
}

// exportEvents gives the latest events about a person, without their payloads.
func (s *Server) exportEvents(ctx context.Context, id string, into *authExport) error {
	found, err := s.options.Events.List(ctx, inbox.Filter{Source: clerk.Source, Subject: id, PageSize: exported})
	if err != nil {
		return err
	}
	into.Events, err = jsonOfEach(found.Events, func(r inbox.Record) (*inboxv1.Event, error) { return inboxpb.Event(r), nil })
	return err
}
