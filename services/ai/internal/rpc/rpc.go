// Package rpc is AIService on the wire: it translates, calls, and translates back.
package rpc

import (
	"context"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/plan"
	"github.com/trivet-dev/trivet/services/ai/internal/typed"
)

// Health tells how the provider is doing.
type Health interface {
	// Status returns "operational", "degraded", "down" or "unknown".
	Status() string
}

// Server serves AIService.
type Server struct {
	aiv1.UnimplementedAIServiceServer

	invoker *invoke.Invoker
	typed   *typed.Client
	models  *models.List
	plans   *plan.Cache
	health  Health
}

// New returns a server.
func New(invoker *invoke.Invoker, list *models.List, plans *plan.Cache, health Health) *Server {
	return &Server{invoker: invoker, typed: typed.New(invoker), models: list, plans: plans, health: health}
}

// caller returns who calls.
func caller(ctx context.Context) (*passport.Claims, error) {
	claims, ok := passport.FromContext(ctx)
	if !ok || claims.AccountID == "" {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED, "This call needs a passport that names an account.")
	}
	return claims, nil
}
