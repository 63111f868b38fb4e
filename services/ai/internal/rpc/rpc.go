// Package rpc is AIService on the wire: it translates, calls, and translates back.
package rpc

import (
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/plan"
	"github.com/trivet-dev/trivet/services/ai/internal/typed"
)

// Health says how well the provider works.
type Health interface {
	// Status returns "operational", "degraded", "down" or "unknown".
	Status() string
}

// Options holds what a Server works with; all are needed.
type Options struct {
	Invoker *invoke.Invoker
	Models  *models.List
	Plans   *plan.Cache
	Health  Health
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
func New(o Options) *Server {
	return &Server{invoker: o.Invoker, typed: typed.New(o.Invoker), models: o.Models, plans: o.Plans, health: o.Health}
}
