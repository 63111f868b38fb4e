package auth

import (
	"context"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
	"github.com/trivet-dev/trivet/services/auth/internal/store"
)

// Store lets tests do what webhooks will.
func (s *Service) Store() *store.Store { return s.store }

// Verified lets tests see the cache of verified tokens.
func (s *Service) Verified() *session.Cache { return s.verified }

// Inbox lets tests wait for the events.
func (s *Service) Inbox() *inbox.Inbox { return s.inbox }

// EraseOwn does auth's part of an erasure, as it is repeated half an hour after the first time.
func (s *Service) EraseOwn(ctx context.Context, userID string) error {
	return s.steps(Deps{})[0].Erase(ctx, userID)
}

// Database lets tests see what is kept.
func (s *Service) Database() *database.DB { return s.database }
