package rpc

import (
	"cmp"
	"context"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/inbox/inboxpb"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// eventsOf are the events of a source; Stripe's when none is named.
func (s *Server) eventsOf(source string) inboxpb.Source {
	return inboxpb.Source{Inbox: s.events, Name: cmp.Or(source, mirror.Stripe)}
}

// ListEvents pages through the events of a source, newest first.
func (s *Server) ListEvents(ctx context.Context, req *billingv1.ListEventsRequest) (*billingv1.ListEventsResponse, error) {
	events, next, err := s.eventsOf(req.GetSource()).List(ctx, req)
	if err != nil {
		return nil, err
	}
	return &billingv1.ListEventsResponse{Events: events, NextPageToken: next}, nil
}

// GetEvent reads one event with its redacted payload and its failures.
func (s *Server) GetEvent(ctx context.Context, req *billingv1.GetEventRequest) (*billingv1.GetEventResponse, error) {
	event, err := s.eventsOf(req.GetSource()).Get(ctx, req.GetEventId())
	if err != nil {
		return nil, err
	}
	return &billingv1.GetEventResponse{Event: event}, nil
}

// RedriveEvents makes dead events pending again, and lists the ids that it skipped.
func (s *Server) RedriveEvents(ctx context.Context, req *billingv1.RedriveEventsRequest) (*billingv1.RedriveEventsResponse, error) {
	redriven, skipped, err := s.eventsOf(req.GetSource()).Redrive(ctx, req.GetEventIds(), req.GetAllDead())
	if err != nil {
		return nil, err
	}
	return &billingv1.RedriveEventsResponse{Redriven: saturate.Int32(redriven), SkippedEventIds: skipped}, nil
}
