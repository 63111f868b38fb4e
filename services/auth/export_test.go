package auth

import (
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

// Database lets tests see what is kept.
func (s *Service) Database() *database.DB { return s.database }
