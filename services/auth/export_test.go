package auth

import (
	"github.com/trivet-dev/trivet/services/auth/internal/session"
	"github.com/trivet-dev/trivet/services/auth/internal/store"
)

// Store lets tests do what webhooks will.
func (s *Service) Store() *store.Store { return s.store }

// Verified lets tests see the cache of verified tokens.
func (s *Service) Verified() *session.Cache { return s.verified }
